import asyncio
import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest
from odd_servers import MODEL, dead_port, odd_servers

from pilotage.errors import TargetError, UsageError
from pilotage.prove.target.cold_start import measure_cold_start
from pilotage.prove.target.endpoint import Endpoint, parse_endpoint
from pilotage.prove.target.preflight import preflight
from pilotage.prove.target.probe import probe_max_payload
from pilotage.tokens import Tokenizer

ODD_SERVER = str(Path(__file__).parent.parent / "odd_servers.py")


def at(port: int, behaviour: str = "ok") -> Endpoint:
    return parse_endpoint(f"http://127.0.0.1:{port}/{behaviour}")


def command(port: int, delay_s: float = 0.0) -> list[str]:
    return [sys.executable, ODD_SERVER, str(port), str(delay_s)]


def test_the_time_until_a_server_answers():
    port = dead_port()
    with measure_cold_start(command(port, 0.3), at(port, "busy-2"), timeout_s=30) as started:
        assert 0.3 < started.seconds < 30
        assert started.preflight.endpoint.model == MODEL
        assert started.process.poll() is None
        assert os.getpgid(started.process.pid) == started.process.pid
    assert started.process.returncode == -signal.SIGTERM


def test_the_whole_group_is_ended_and_a_stubborn_one_killed():
    port = dead_port()
    trap = f"trap '' TERM; {sys.executable} {ODD_SERVER} {port} & wait; sleep 60"
    with measure_cold_start(["bash", "-c", trap], at(port), timeout_s=30, grace_s=0.1) as started:
        group = psutil.Process(started.process.pid).children(recursive=True)
        assert group
    assert started.process.returncode == -signal.SIGKILL
    gone, alive = psutil.wait_procs(group, timeout=10)
    assert gone
    assert not alive


def test_a_command_that_ends():
    script = "import sys; print('loading'); print('no \\x1b[31mGPU', file=sys.stderr); sys.exit(3)"
    with (
        pytest.raises(TargetError, match="ended with exit code 3 before") as caught,
        measure_cold_start([sys.executable, "-c", script], at(dead_port()), timeout_s=30),
    ):
        pass
    assert caught.value.hint is not None
    assert "no [31mGPU" in caught.value.hint
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("behaviour", ["busy-100000", "silent"])
def test_a_server_that_never_gets_ready(behaviour):
    port = dead_port()
    with (
        pytest.raises(TargetError, match=r"did not answer within 2 s") as caught,
        measure_cold_start(command(port), at(port, behaviour), timeout_s=2.0, grace_s=5),
    ):
        pass
    assert "starting up" in str(caught.value)


def test_what_no_waiting_mends_ends_the_wait():
    port = dead_port()
    with (
        pytest.raises(TargetError, match="wants an API key"),
        measure_cold_start(command(port), at(port, "locked"), timeout_s=60),
    ):
        pass


def test_a_port_that_is_taken():
    with (
        odd_servers() as odd,
        pytest.raises(UsageError, match="already"),
        measure_cold_start(["true"], parse_endpoint(odd.url("ok")), timeout_s=1),
    ):
        pass


@pytest.mark.parametrize("command", [[], ["/no/such/program"], ["/etc/passwd"], ["a\0b"]])
def test_commands_that_cannot_be_started(command):
    with (
        pytest.raises(UsageError, match=r"no command|cannot be started"),
        measure_cold_start(command, at(dead_port()), timeout_s=1),
    ):
        pass


def test_endless_output_is_read_and_forgotten():
    port = dead_port()
    noisy = f"yes $(printf 'x%.0s' $(seq 5000)) & exec {sys.executable} {ODD_SERVER} {port}"
    with measure_cold_start(["bash", "-c", noisy], at(port), timeout_s=30) as started:
        time.sleep(0.1)
        assert started.process.poll() is None


@pytest.mark.slow
def test_our_own_server(embedded_model):
    """The whole of it against `pilotage serve`: cold start, preflight, largest body."""
    port = dead_port()
    command = [sys.executable, "-m", "pilotage.cli.main", "serve", "--port", str(port)]
    command += ["--max-body", "128KiB", "--ttft-p99", "120s"]
    endpoint = parse_endpoint(f"http://127.0.0.1:{port}/v1")
    with measure_cold_start(command, endpoint, timeout_s=110) as started:
        endpoint = started.preflight.endpoint
        tokenizer = Tokenizer.open(embedded_model)
        found = asyncio.run(
            preflight(endpoint, stream=True, timeout_s=60, wait_s=10, tokenizer=tokenizer)
        )
        largest = asyncio.run(probe_max_payload(endpoint, timeout_s=60))
    assert started.process.returncode == 0
    assert found.server == "pilotage"
    assert found.usage
    assert found.tokenizer_matches
    assert found.overhead_tokens == template_tokens(tokenizer)
    assert found.dialect.ignore_eos
    assert found.notes == ()
    assert largest.bytes is not None
    assert 0.97 * 131_072 < largest.bytes <= 131_072
    assert not largest.is_bound


def template_tokens(tokenizer: Tokenizer) -> int:
    text = "Read this note: it is over."
    whole = tokenizer.encode_chat([{"role": "user", "content": text}])
    return len(whole) - len(tokenizer.encode(text, add_special_tokens=False))


def test_an_interruption_ends_the_server():
    port = dead_port()
    with (
        contextlib.suppress(KeyboardInterrupt),
        measure_cold_start(command(port), at(port), timeout_s=30) as started,
    ):
        raise KeyboardInterrupt
    assert started.process.returncode == -signal.SIGTERM
