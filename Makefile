# Pilotage: the two commands a newcomer needs are `make serve` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
ARGS   ?=
# Tests wait half of their time: four processes keep two cores busy.
TEST_PROCESSES ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); echo $$(( n * 2 )))

# A machine that keeps no compiled modules rewrites every test in every process, again each time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help serve install dev torch checkov test test-slow test-thorough lint format lock bench bench-overload bench-faults bench-start clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

serve: install  ## Install, fetch the embedded model, serve it at http://127.0.0.1:8000 (ARGS="--workers 2")
	@$(BIN)/pilotage serve $(ARGS)

test: dev  ## Fast tests, the embedded model included
	@$(MAKE) --no-print-directory torch || \
	  echo "torch's CPU build is not to be had here: the tests that need it are skipped"
	@$(MAKE) --no-print-directory checkov || \
	  echo "checkov is not to be had here: the tests that need it are skipped"
	@$(BIN)/python -m pytest -n $(TEST_PROCESSES) --maxprocesses 8 --dist loadfile \
	  -m "not slow and not whole_machine" $(ARGS)
	@$(BIN)/python -m pytest -m "whole_machine and not slow" \
	  $(or $(ARGS),$$(grep -rl --include='test_*.py' 'mark.whole_machine' tests)) || [ $$? -eq 5 ]  # 5: none there

torch: $(VENV)/.torch  ## The extra `transformers`, with torch's CPU build

checkov: .venv-checkov/.installed  ## checkov, whose dependencies fit nobody else's, in an environment of its own

test-slow: dev  ## The slow suites: faults and overload against a real server under load
	@$(BIN)/python -m pytest -m slow $(ARGS)

test-thorough: dev  ## The fast tests, with ten times the examples of each property
	@HYPOTHESIS_PROFILE=thorough $(BIN)/python -m pytest -n logical --dist loadfile -m "not slow" $(ARGS)

lint: dev  ## ruff, strict types, import contracts, dead code, docs
	@PATH="$(CURDIR)/$(BIN):$$PATH" scripts/lint.sh

format: dev  ## Format the code
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lock: dev  ## Re-lock the dependencies (versions and hashes, no addresses)
	@PATH="$(CURDIR)/$(BIN):$$PATH" scripts/lock.sh

bench: dev bench-serving bench-overload bench-faults bench-start bench-loadgen bench-fetch bench-images bench-encoders bench-buckets bench-plan bench-plan-host bench-simulate bench-gateway bench-cascade  ## Everything we claim, as ratios

bench-overload: dev  ## 3 x capacity: accepted requests keep the target, the rest is a truthful 429
	@$(BIN)/python bench/overload.py --json bench/results/overload.json $(ARGS)

bench-faults: dev  ## kill -9, a hang, a long prefill, SIGTERM, all under load
	@$(BIN)/python bench/faults.py --json bench/results/faults.json $(ARGS)

bench-start: dev  ## How much faster the second start is
	@$(BIN)/python bench/start.py --json bench/results/start.json $(ARGS)

clean:  ## Remove environments and caches of this checkout
	rm -rf .venv .venv-* .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache bench/results

# One environment; a stamp a lock file, so that a second `make` starts at once.
install: $(VENV)/.runtime
dev: $(VENV)/.dev

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Pilotage needs Python 3.11 or newer; this is %s. Set PYTHON=python3.x" % sys.version.split()[0])'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements/runtime.txt pyproject.toml | $(BIN)/python
	@echo "Installing Pilotage into $(VENV) (about 300 MB of wheels, once) …"
	@$(PIP) install --quiet --require-hashes --only-binary :all: -r requirements/runtime.txt
	@$(PIP) install --quiet --require-hashes --only-binary :all: -r requirements/build.txt
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.runtime
	@echo "Installing the development tools into $(VENV) (once) …"
	@$(PIP) install --quiet --require-hashes --only-binary :all: -r requirements/dev.txt
	@touch $@

$(VENV)/.torch: requirements/torch.txt $(VENV)/.dev
	@echo "Installing torch's CPU build and transformers into $(VENV) (about 200 MB, once) …"
	@$(PIP) install --quiet --require-hashes --only-binary :all: -r requirements/torch.txt
	@touch $@

.venv-checkov/.installed: requirements/checkov.txt
	@$(PYTHON) -m venv .venv-checkov
	@echo "Installing checkov into .venv-checkov (some minutes, once) …"
	@.venv-checkov/bin/python -m pip --disable-pip-version-check install --quiet --no-deps \
	  --require-hashes --only-binary :all: -r $<
	@touch $@

include bench/bench.mk
