"""``pilotage prove`` as it is run, against a real server that behaves well or oddly."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from odd_servers import OddServers, odd_servers
from proving import prove, start_prove

from pilotage.prove.report import read_report
from pilotage.prove.result import Report

_QUICK = ("--rate", "50/s", "--duration", "1s", "--warm-up", "0.2s", "--tokenizer", "none")
_SMALL = ("--seed", "1", "--prompt-tokens", "20", "--completion-tokens", "3", "--metrics", "none")


@pytest.fixture(scope="module")
def odd() -> Iterator[OddServers]:
    with odd_servers() as server:
        yield server


def _report(folder: Path) -> Report:
    (path,) = folder.rglob("report.json")
    return read_report(path)


def test_a_test_ends_in_a_verdict_and_files(odd: OddServers, tmp_path: Path) -> None:
    with start_prove(
        odd.url("ok"), "--rate", "400/s", "--duration", "2s", "--warm-up", "0.5s", *_SMALL,
        "--tokenizer", "none", "--e2e-p99", "20s", "-o", "here", folder=tmp_path,
    ) as process:  # fmt: skip
        out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    assert "Unknown child process" not in err
    here = tmp_path / "here"
    names = {path.name for path in here.iterdir()}
    assert names == {"report.json", "requests.csv", "report.md", "report.html", "latency.png"}
    report = _report(tmp_path)
    # On a machine that is busy with other things the client may be late, and then says so; or
    # requests may be late together, which are then worth fewer.
    possible = {"met": "The SLO is met", "not_enough_evidence": "Not enough evidence"}
    if not report.validity.valid:
        possible = {"invalid": "Invalid"}
    assert possible[report.verdict.finding] in out
    assert report.measures.outcomes == {"complete": report.measures.requests}
    assert report.warm_up is not None
    assert report.warm_up.requests > 100
    assert report.measures.requests == pytest.approx(800, rel=0.2)
    assert report.command is not None
    assert report.command.startswith("pilotage prove http://")
    assert report.workload.arrivals.startswith("Poisson, 400/s for")  # there is no spec to name
    assert len((here / "requests.csv").read_text().splitlines()) == 1 + len(
        range(report.measures.requests + report.warm_up.requests)
    )


def test_the_same_seed_sends_the_same(odd: OddServers, tmp_path: Path) -> None:
    bodies = []
    for number in range(2):
        odd.seen.clear()
        code, _, err = prove(
            odd.url("ok"), *_QUICK, *_SMALL[2:], "--seed", "7", "-o", str(number), folder=tmp_path
        )
        assert code == 0, err
        bodies.append(sorted(json.dumps(body) for body in odd.posted()))
    assert bodies[0] == bodies[1]
    assert len(set(bodies[0])) > 20


def test_json_lines_hold_the_report(odd: OddServers, tmp_path: Path) -> None:
    code, out, _ = prove(odd.url("ok"), *_QUICK, *_SMALL, "--json", folder=tmp_path)
    events = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    kinds = [event["event"] for event in events]
    assert kinds[-1] == "report"
    assert {"target", "prepared", "started", "progress"} <= set(kinds)
    assert events[-1]["report"]["schema"] == "pilotage.prove/1"
    assert Path(tmp_path / events[-1]["files"]["json"]).is_file()


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("locked", "PILOTAGE_API_KEY"),
        ("redirect", "redirect"),
        ("html", "web page"),
        ("garbage", "HTTP"),
        ("silent", "time"),
        ("midway", "[DONE]"),
        ("status-500", "500"),
    ],
)
def test_a_target_that_cannot_be_tested_is_one_line(
    odd: OddServers, tmp_path: Path, behaviour: str, words: str
) -> None:
    code, out, err = prove(
        odd.url(behaviour), *_QUICK, "--timeout", "2s", "--wait", "0s", folder=tmp_path
    )
    assert code == 1
    assert out == ""
    assert words in err
    assert len(err.strip().splitlines()) == 1, err
    assert list(tmp_path.iterdir()) == []


def test_a_dead_address(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code, _, err = prove(f"http://127.0.0.1:{port}", *_QUICK, "--wait", "0s", folder=tmp_path)
    assert code == 1
    assert f"127.0.0.1:{port}" in err
    assert "pilotage serve" in err


def test_a_model_that_is_not_there(odd: OddServers, tmp_path: Path) -> None:
    code, _, err = prove(odd.url("ok"), *_QUICK, "--model", "gpt-9", folder=tmp_path)
    assert code == 1
    assert "gpt-9" in err
    assert '"odd"' in err or "odd" in err


def test_a_wrong_key_is_named_but_not_shown(odd: OddServers, tmp_path: Path) -> None:
    code, out, err = prove(odd.url("locked"), *_QUICK, folder=tmp_path, key="plt_hush")
    assert code == 1
    assert "plt_hush" not in out + err


def test_a_right_key_is_in_no_file(odd: OddServers, tmp_path: Path) -> None:
    code, out, err = prove(
        odd.url("locked"), *_QUICK, "--prompt-tokens", "20", "--completion-tokens", "3",
        "--extra", '{"user_key": "secret", "top_p": 1}', "--metrics", "http://u:secret@127.0.0.1:9",
        folder=tmp_path, key="secret",
    )  # fmt: skip
    assert code == 0, err
    assert "Bearer" not in out + err
    assert '"top_p": 1' in str(_report(tmp_path).command)
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"secret" not in path.read_bytes()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--rate", "0/s"), "--rate"),
        (("--rate", "fast"), "--rate"),
        (("--duration", "0s"), "--duration"),
        (("--concurrency", "4", "--rate", "3/s"), "--rate"),
        (("--prompts", "empty.jsonl"), "empty.jsonl"),
        (("--prompts", "missing.jsonl"), "missing.jsonl"),
        (("--trace", "backwards.csv"), "backwards.csv:4"),
        (("--images", "nowhere"), "nowhere"),
        (("--extra", "{"), "--extra"),
        (("--prompt-tokens", "900:200"), "--prompt-tokens"),
        (("--confidence", "2"), "--confidence"),
        (("--find-capacity",), "--find-capacity"),
        (("--e2e-p99", "soon"), "--e2e-p99"),
        (("--plan", "plan.json"), "plan.json"),
        (("--usd-per-hour", "-1"), "--usd-per-hour"),
        (("--requests", "0"), "--requests"),
        (("--concurrency", "2", "--duration", "0s"), "--duration"),
        (("--burstiness", "0.5"), "--burstiness"),
        (("--ramp-steps", "3"), "--ramp-steps"),
        (("--to-rate", "3/s"), "--to-rate"),
        (("--min-rate", "3/s"), "--min-rate"),
        (("--precision", "0.1"), "--precision"),
        (("--images-per-request", "2"), "--images-per-request"),
        (("--images", "receipts", "--shared-prefix", "5"), "--shared-prefix"),
        (("--deployment", "a"), "--deployment"),
        (("--url", "http://127.0.0.1:9"), "--url"),
        (("--fail-on", "missed"), "--fail-on"),
        (("--key-env", "NO_SUCH_VARIABLE"), "--key-env"),
        (("--metrics", "none", "--gpu-metrics", "http://127.0.0.1:9"), "--gpu-metrics"),
        (("--trace", "backwards.csv", "--prompt-tokens", "9"), "--prompt-tokens"),
        (("--find-capacity", "--speed", "2", "--e2e-p99", "1s"), "--speed"),
        (("--compare", "--rate", "3/s"), "--rate"),
    ],
)
def test_a_wrong_flag_is_one_line_and_nothing_is_sent(
    odd: OddServers, tmp_path: Path, flags: tuple[str, ...], words: str
) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "plan.json").write_text("{}")
    (tmp_path / "backwards.csv").write_text(
        "arrived_at,num_prefill_tokens,num_decode_tokens\n0,10,10\n2,10,10\n1,10,10\n"
    )
    heard = len(odd.posted())
    code, out, err = prove(odd.url("ok"), "--tokenizer", "none", *flags, folder=tmp_path)
    assert (code, out) == (2, "")
    assert words in err
    assert len(odd.posted()) == heard
    assert not (tmp_path / "prove").exists()


def test_failures_are_counted_and_named(odd: OddServers, tmp_path: Path) -> None:
    code, out, err = prove(
        odd.url("limit", 1000), *_QUICK, "--prompt-tokens", "150:400", "--completion-tokens", "2",
        "--metrics", "none", "--e2e-p99", "10s", "--fail-on", "missed", folder=tmp_path,
    )  # fmt: skip
    measures = _report(tmp_path).measures
    assert set(measures.outcomes) == {"complete", "refused"}
    (failure,) = measures.failures
    assert (failure.status, failure.count) == (413, measures.outcomes["refused"])
    assert "Refused" in out
    # So many cannot be late by chance; but a busy machine may make the run invalid.
    finding = _report(tmp_path).verdict.finding
    assert (finding, code) in {("missed", 1), ("invalid", 0)}, err


def test_a_server_without_usage_is_measured_by_chunks(odd: OddServers, tmp_path: Path) -> None:
    code, _, err = prove(odd.url("no-usage"), *_QUICK, *_SMALL, folder=tmp_path)
    assert code == 0, err
    tokens = _report(tmp_path).measures.tokens
    assert tokens.completion_server is None
    assert tokens.without_usage > 0
    assert tokens.completion_chunks > 0


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_writes_what_was_measured(odd: OddServers, tmp_path: Path, times: int) -> None:
    with start_prove(
        odd.url("ok"), "--rate", "20/s", "--duration", "10m", "--warm-up", "0.2s", *_SMALL,
        "--tokenizer", "none", "--json", folder=tmp_path,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "progress" and event["at"] > 1:
                break
        for _ in range(times):
            process.send_signal(signal.SIGINT)
            time.sleep(0.01)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    if times == 1:
        report = _report(tmp_path)
        assert report.interrupted == "Ctrl-C"
        assert report.measures.outcomes["complete"] > 5
        assert json.loads(out.splitlines()[-1])["event"] == "report"


def test_a_closed_loop(odd: OddServers, tmp_path: Path) -> None:
    code, _, err = prove(
        odd.url("ok"), "--concurrency", "3", "--requests", "40", *_SMALL, "--tokenizer", "none",
        folder=tmp_path,
    )  # fmt: skip
    assert code == 0, err
    report = _report(tmp_path)
    assert report.measures.outcomes == {"complete": 40}
    assert not report.workload.open_loop


def test_a_trace_sets_times_and_lengths(odd: OddServers, tmp_path: Path) -> None:
    rows = [f"{number * 2},{10 + number},{1 + number % 3}" for number in range(40)]
    (tmp_path / "trace.csv").write_text(
        "\n".join(["arrived_at,num_prefill_tokens,num_decode_tokens", *rows])
    )
    odd.seen.clear()
    code, _, err = prove(
        odd.url("ok"), "--trace", "trace.csv", "--speed", "40", "--warm-up", "0s",
        "--metrics", "none", "--tokenizer", "none", folder=tmp_path,
    )  # fmt: skip
    assert code == 0, err
    report = _report(tmp_path)
    assert report.measures.requests == 40
    assert "trace.csv" in report.workload.arrivals
    limits = [body["max_tokens"] for body in odd.posted() if len(str(body)) > 100]
    assert {1, 2, 3} <= set(limits)


def test_a_search_finds_where_it_breaks(odd: OddServers, tmp_path: Path) -> None:
    for attempt in range(4):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        code, out, err = prove(
            odd.url("slow", "0.3"), "--rate", "20/s", "--duration", "1s", "--warm-up", "0.1s",
            "--find-capacity", "--max-rate", "80/s", "--e2e-p99", "5s", "--tokenizer", "none",
            *_SMALL, folder=folder,
        )  # fmt: skip
        assert code == 0, err
        capacity = _report(folder).capacity
        assert capacity is not None
        # On a machine that is busy with other things the client may be late, and then says so:
        # that search found nothing of the server.
        if "the client, not the server, was the limit" not in capacity.sentence:
            break
    assert [step.rate for step in capacity.steps] == [20, 40, 80]
    assert capacity.rate == 80
    assert "the search was not to go higher" in capacity.sentence
    assert "80/s" in out + err


def test_a_search_stops_early_where_the_server_drowns(odd: OddServers, tmp_path: Path) -> None:
    code, _, err = prove(
        odd.url("slow", "0.5"), "--rate", "30/s", "--duration", "20s", "--warm-up", "0.1s",
        "--find-capacity", "--min-rate", "30/s", "--e2e-p99", "100ms", "--tokenizer", "none",
        *_SMALL, folder=tmp_path,
    )  # fmt: skip
    assert code in (0, 1), err
    capacity = _report(tmp_path).capacity
    assert capacity is not None
    assert capacity.rate is None
    (step,) = capacity.steps
    assert "over-saturated" in str(step.stopped_early)


def test_reports_side_by_side(odd: OddServers, tmp_path: Path) -> None:
    for name, rate in (("a", "30/s"), ("b", "60/s")):
        code, _, err = prove(
            odd.url("ok"), "--rate", rate, "--duration", "1s", "--warm-up", "0.1s", *_SMALL,
            "--tokenizer", "none", "--usd-per-hour", "3", "-o", name, folder=tmp_path,
        )  # fmt: skip
        assert code == 0, err
    code, out, err = prove(
        "--compare", "a/report.json", "b/report.json", "-o", "both", folder=tmp_path
    )
    assert code == 0, err
    assert "p99" in out
    assert {path.suffix for path in (tmp_path / "both").iterdir()} >= {".html", ".md", ".json"}
    code, _, err = prove("--compare", "a/report.json", "a/requests.csv", folder=tmp_path)
    assert code == 2
    assert "requests.csv" in err


def test_a_spec_says_where_what_and_how_good(odd: OddServers, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(
        "name: quick\n"
        "model: {source: ./no-such-model.gguf, served_name: odd}\n"
        "workload:\n"
        "  arrivals: {rate: 10/s, peak: 40/s, shape: spiky}\n"
        "  prompt_tokens: {p50: 12, p99: 30}\n"
        "  completion_tokens: {p50: 2, p99: 4}\n"
        "slo: {e2e_p99: 1s}\n"
    )
    code, _, err = prove(
        "spec.yaml", "--url", odd.url("ok"), "--seed", "1", "--duration", "2s",
        "--tokenizer", "none", "--metrics", "none", folder=tmp_path,
    )  # fmt: skip
    assert code == 0, err
    report = _report(tmp_path)
    assert report.name == "quick"
    assert report.slo == {"e2e_p99": 1.0}
    assert "gamma" in report.workload.arrivals
    assert "40/s" in report.workload.arrivals
