import io
import subprocess
import sys

import msgspec
import pytest
from bench.load import LoadResult
from bench.peers.peer import HttpSystem, NotMeasurable, Peer, python_of
from bench.processes import ROOT, free_port, server
from bench.report import Report, draw, table, targets
from bench.serving import Measurements, Plan, measure
from rich.console import Console

CHUNKS = 16


def peer(key: str, *, serial: bool = False) -> Peer:
    return Peer(key, key[0], f"the {key} system", running=lambda setting: None, serial=serial)


class Failing:
    def measure(self, prompts, streams, tokens) -> LoadResult:
        raise NotMeasurable("it fell over")


@pytest.fixture(scope="module")
def found() -> tuple[Measurements, str]:
    """Two systems and one that fails, measured against a real server."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    command = [sys.executable, "-m", "bench.trivial_server", str(port), str(CHUNKS), "0.002"]
    seen, output = Measurements(), io.StringIO()
    with server("test-serving", command, ready_url=url, ready_timeout_s=20):
        system = HttpSystem(url, lambda prompt, tokens: {"prompt": prompt}, ())
        systems = {
            peer("engine"): system,
            peer("pilotage"): system,
            peer("queue", serial=True): system,
            peer("broken"): Failing(),
        }
        plan = Plan(streams=(1, 2), repeats=2, rounds=2, single=3, serial_limit=1)
        measure(plan, systems, seen, Console(file=output, width=120))
    return seen, output.getvalue()


def test_every_system_is_measured_as_planned(found):
    seen, output = found
    rows = seen.rows(["engine", "pilotage", "queue", "broken"], (1, 2))
    assert len(rows) == 8
    assert rows["engine", 1].requests == 2 * 3
    assert rows["engine", 2].requests == 2 * 4
    assert rows["queue", 2].requests == 1  # a serial system is run once, and here cut short
    assert rows["queue", 2].ttft_p50_ms is None  # so nobody has waited in its queue
    assert rows["queue", 1].ttft_p50_ms is not None
    assert len(rows["engine", 2].runs) == 2 and len(rows["queue", 2].runs) == 1
    assert rows["engine", 1].tokens_per_answer == (CHUNKS, CHUNKS)
    assert rows["engine", 1].failed == 0
    assert rows["broken", 2].tokens_per_second is None
    assert rows["broken", 2].not_measurable == "it fell over"
    assert output.count("it fell over") == 1


def test_the_figures_become_a_table_json_and_a_picture(found, tmp_path):
    seen, _ = found
    titles = {"engine": "(a) engine", "pilotage": "(b) Pilotage", "broken": "(x) broken"}
    rows = seen.rows(list(titles), (1, 2))
    report = Report(
        machine={"date": "2026-01-01 00:00 UTC", "cpu": "a CPU", "cores": 2},
        shared="all",
        command="bench/serving.py",
        model="model",
        new_tokens=CHUNKS,
        rows=tuple(rows.values()),
        ratios={},
        added_ttft_ms=None,
        targets=targets(rows),
        not_measured=seen.reasons,
        notes=(),
    )
    written = msgspec.json.decode(msgspec.json.encode(report))
    needed = {"system", "streams", "tokens_per_second", "ttft_p50_ms", "ttft_p99_ms"}
    assert all(needed <= set(row) for row in written["rows"])

    output = io.StringIO()
    Console(file=output, width=140).print(table(rows, titles, (1, 2)))
    assert "(b) Pilotage" in output.getvalue() and "it fell over" in output.getvalue()

    draw(report, titles, tmp_path / "made" / "figure.png")
    assert (tmp_path / "made" / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_a_missing_environment_names_the_target_that_builds_it():
    with pytest.raises(NotMeasurable, match="run `make bench-env`"):
        python_of(".venv-nowhere", "bench-env")


def test_an_unknown_system_is_refused_with_the_known_ones():
    done = subprocess.run(
        [sys.executable, "bench/serving.py", "--systems", "engine,typo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "unknown: typo; known: engine, a, pilotage" in done.stderr
