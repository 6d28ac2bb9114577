#!/usr/bin/env bash
# The whole loop on this machine with the embedded model: plan, fetch, ship (serve and route),
# smoke, prove, report, destroy. Nothing of it is left running or lying about; the weights stay in
# the cache, where a second run finds them.
#
#     examples/end_to_end.sh
#
# PILOTAGE names another `pilotage`, PYTHON another `python3`.
set -euo pipefail

pilotage=${PILOTAGE:-pilotage}
python=${PYTHON:-python3}
name="end-to-end-$$"
work=$(mktemp -d)
spec="$work/spec.yaml"
shipped=no

say() { printf '\n== %s\n' "$*"; }

# Whatever happens, what was shipped is taken away again.
leave() {
  status=$?
  trap - EXIT
  if [ "$shipped" = yes ]; then
    "$pilotage" ship logs "$spec" --target local --lines 40 || true
    "$pilotage" ship destroy "$spec" --target local --yes --purge || true
  fi
  rm -rf "$work"
  exit "$status"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Three free ports in a row: the balancer's, and one for each replica.
port=$("$python" - <<'PYTHON'
import contextlib, random, socket

while True:
    port = random.randrange(20000, 32000)
    with contextlib.ExitStack() as held, contextlib.suppress(OSError):
        for number in range(3):
            probe = held.enter_context(socket.socket())
            probe.bind(("127.0.0.1", port + number))
        print(port)
        break
PYTHON
)

# Its own key file, which is not there: keys of this user's other servers do not matter here.
cat > "$spec" <<YAML
name: $name
model: {engine: openvino}
workload:
  arrivals: {rate: 2/s}
  prompt_tokens: {p50: 60, p99: 90}
  completion_tokens: {p50: 8, p99: 12}
slo: {ttft_p99: 10s}
serving: {port: $port, kv_cache: 256MiB, drain_timeout: 5s, api_keys: $work/keys.json}
YAML

say "plan"
# Only what was measured is planned: this machine, which is nobody's to rent, at a price of ours.
"$pilotage" plan calibrate --output "$work/calibration.json"
"$pilotage" plan "$spec" --strategy machine --calibration "$work/calibration.json" \
  --price machine:hour=0.10 --output "$work/plan.json" | sed -n 1,3p

say "fetch"
"$pilotage" fetch "$spec"

say "ship: two replicas behind a balancer"
shipped=yes
"$pilotage" ship render "$spec" --target local --plan "$work/plan.json" --output "$work/rendered"
"$pilotage" ship apply "$spec" --target local --plan "$work/plan.json" --yes
"$pilotage" ship diff "$spec" --target local --plan "$work/plan.json"

say "smoke"
"$pilotage" ship smoke "$spec" --target local --count 3 --max-tokens 8

say "prove"
"$pilotage" prove "http://127.0.0.1:$port" --model SmolLM2-135M-Instruct \
  --rate 2/s --requests 8 --warm-up 1s --prompt-tokens 60:90 --completion-tokens 6:12 \
  --ttft-p99 10s --seed 1 --out "$work/proof"

say "route report"
ledger=$("$pilotage" ship status "$spec" --target local --json |
  "$python" -c 'import json, sys; print(json.load(sys.stdin)["outputs"]["ledger"])')
"$pilotage" route report --ledger "$ledger" --since 1h

say "destroy"
"$pilotage" ship destroy "$spec" --target local --yes --purge
shipped=no

say "done: planned, fetched, served, routed, shipped, proven and taken away"
