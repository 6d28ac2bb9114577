#!/usr/bin/env bash
# Re-lock the dependencies: versions and hashes, no download address. `make lock` runs this.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() {  # compile OUTPUT ARGS...
  local out=$1; shift
  uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
    --no-emit-index-url --no-emit-find-links --quiet "$@" --output-file "$out"
}
compile requirements/runtime.txt pyproject.toml
compile requirements/build.txt --group build --constraint requirements/runtime.txt
# One environment serves both commands, so that the development lock agrees with the runtime's.
compile requirements/dev.txt pyproject.toml --group dev --constraint requirements/runtime.txt --constraint requirements/build.txt
# torch is pinned to its CPU build for Linux and Python 3.11; where it is found is the machine's own
# pip configuration. `make torch` installs this beside the rest, and `make test` tries to.
UV_FIND_LINKS=${UV_FIND_LINKS:-${PIP_FIND_LINKS:-$(python -m pip config get global.find-links || true)}}
export UV_FIND_LINKS
uv pip compile --python-version 3.11 --python-platform x86_64-manylinux_2_28 --generate-hashes \
  --no-header --no-annotate --no-emit-index-url --no-emit-find-links --quiet \
  requirements/torch.in --constraint requirements/dev.txt --output-file requirements/torch.txt
# checkov pins what others need newer: it has an environment of its own, `make checkov`.
uv pip compile --python-version 3.11 --python-platform x86_64-manylinux_2_28 --generate-hashes \
  --no-header --no-annotate --no-emit-index-url --no-emit-find-links --quiet \
  requirements/checkov.in --output-file requirements/checkov.txt
