#!/usr/bin/env bash
# Chromium for the tests of the HTML reports, where it can be had without asking: Debian, as root.
# Elsewhere those tests are skipped and say so.
set -euo pipefail
if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then exit 0; fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "no Chromium here: the browser tests will be skipped" >&2
  exit 0
fi
echo "Installing Chromium for the browser tests (once) …"
export DEBIAN_FRONTEND=noninteractive
install() { apt-get install -y --no-install-recommends chromium chromium-driver >/dev/null 2>&1; }
install || { apt-get update >/dev/null 2>&1 && install; } ||
  echo "Chromium could not be installed: the browser tests will be skipped" >&2
