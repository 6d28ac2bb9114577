#!/usr/bin/env bash
# prometheus and promtool for the tests of rules and dashboards, from Debian's package, unpacked into
# .venv-prometheus: nothing is installed, no service starts, and it takes no root.
# Where there is none to be had those tests are skipped and say so.
set -euo pipefail
cd "$(dirname "$0")/.."
place=.venv-prometheus
if [ -x "$place/usr/bin/promtool" ] && [ -x "$place/usr/bin/prometheus" ]; then exit 0; fi
if command -v promtool >/dev/null && command -v prometheus >/dev/null; then exit 0; fi
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
  echo "no Prometheus here: the tests that need it will be skipped" >&2
  exit 0
fi
echo "Unpacking Prometheus for the tests into $place (once) …"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# As root apt downloads as another user, who has to be able to write there.
chmod 755 "$work"
if [ "$(id -u)" -eq 0 ]; then chown _apt "$work" 2>/dev/null || true; fi
download() { (cd "$work" && apt-get download prometheus) >/dev/null 2>&1; }
if ! download && [ "$(id -u)" -eq 0 ]; then
  apt-get update >/dev/null 2>&1 && download || true
fi
packages=("$work"/prometheus_*.deb)
if [ ! -f "${packages[0]}" ]; then
  echo "Prometheus could not be downloaded: the tests that need it will be skipped" >&2
  exit 0
fi
# Whole or not at all: a run that is cut off leaves no half of it in place.
dpkg-deb --extract "${packages[0]}" "$work/unpacked"
rm -rf "$place"
mkdir -p "$place/usr"
mv "$work/unpacked/usr/bin" "$place/usr/bin.new"
mv "$place/usr/bin.new" "$place/usr/bin"
