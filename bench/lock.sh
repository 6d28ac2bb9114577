#!/usr/bin/env bash
# Re-lock the bench's environments: versions and hashes, no download address.
# torch is pinned to its CPU build, so that no resolver ever takes the CUDA one; where it is found
# is the machine's own pip configuration.
set -euo pipefail
cd "$(dirname "$0")/.."
UV_FIND_LINKS=${UV_FIND_LINKS:-${PIP_FIND_LINKS:-$(python -m pip config get global.find-links || true)}}
export UV_FIND_LINKS
compile() {  # compile NAME ARGS...
  local name=$1; shift
  uv pip compile --python-version 3.11 --python-platform x86_64-manylinux_2_28 --generate-hashes \
    --no-header --no-annotate --no-emit-index-url --no-emit-find-links --quiet "$@" \
    "requirements/$name.in" --output-file "requirements/$name.txt"
}
compile bench
# vLLM names torchvision, torchaudio and torchcodec, which text models never import and which
# have no matching CPU builds everywhere.
compile bench-vllm --override requirements/bench-vllm-without.in
# Load generators; guidellm imports torch for its data sets.
compile bench-loadgen-guidellm
compile bench-loadgen-aiperf
# Gateways.
compile bench-gateway
