#!/usr/bin/env bash
# Style, types, import contracts, dead code, docs. `make lint` runs this with .venv/bin on PATH.
set -euo pipefail
cd "$(dirname "$0")/.."
echo "ruff";           ruff check .
echo "ruff format";    ruff format --check .
echo "mypy --strict";  mypy
echo "import-linter";  lint-imports
echo "vulture";        vulture
echo "docs";           python scripts/check_docs.py
