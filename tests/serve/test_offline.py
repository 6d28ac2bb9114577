"""With a warm cache the server starts where there is no network at all."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_INSIDE = """
import json, sys, time, urllib.request, subprocess
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
server = subprocess.Popen(
    [sys.executable, "-m", "pilotage.cli.main", "serve", "--json", "--port", "0"],
    stdout=subprocess.PIPE, text=True,
)
try:
    address = json.loads(server.stdout.readline())["address"]
    for line in server.stdout:
        if json.loads(line)["event"] == "ready":
            break
    body = json.dumps({"model": "SmolLM2-135M-Instruct", "temperature": 0, "messages": [
        {"role": "user", "content": "What is the capital of France?"}]}).encode()
    request = urllib.request.Request(address + "/v1/chat/completions", body,
                                     {"Content-Type": "application/json"})
    print(urllib.request.urlopen(request, timeout=60).read().decode())
finally:
    server.terminate()
    server.wait(30)
"""


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_warm_cache_makes_no_network_call(embedded_model: Path) -> None:
    assert embedded_model.exists()
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        pytest.skip("needs unshare and ip to take the network away")
    if subprocess.run(["unshare", "-n", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let a test make a network namespace")
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-c", _INSIDE],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert "Paris" in answer["choices"][0]["message"]["content"]
