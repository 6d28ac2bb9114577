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
