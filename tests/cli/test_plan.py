"""``pilotage plan`` and ``pilotage plan check`` as they are run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from pilotage.cli.main import app
from pilotage.errors import PilotageError
from pilotage.spec.plan_file import read_plan

SPEC = """\
name: chat
model: {source: "hf://Qwen/Qwen2.5-1.5B-Instruct", max_model_len: 4096}
workload:
  arrivals: {rate: 3/s}
  prompt_tokens: {p50: 200, p99: 600}
  completion_tokens: {p50: 40, p99: 100}
slo: {ttft_p99: 1s}
"""
PORTFOLIO = """\
budget: {usd_per_month: %s}
deployments:
  - name: chat
    model: {source: "hf://Qwen/Qwen2.5-1.5B-Instruct", max_model_len: 4096}
    workload: {arrivals: {rate: 3/s}}
    slo: {ttft_p99: 1s}
  - name: own
    model: {source: "s3://bucket/own"}
    workload: {arrivals: {rate: 1/s, peak: 30/s, shape: spiky}}
    slo: {ttft_p99: 1s}
"""
FEW = ("--strategy", "ecs-gpu")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["plan", *arguments], catch_exceptions=True)


def refused(*arguments: str) -> PilotageError:
    """The error that ends the command."""
    result = run(*arguments)
    assert isinstance(result.exception, PilotageError), result.output
    return result.exception


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PILOTAGE_HOME", str(tmp_path / "home"))
    path = tmp_path / "chat.yaml"
    path.write_text(SPEC)
    return path


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The plan of `SPEC`, as --json prints it."""
    home = tmp_path_factory.mktemp("planned")
    path = home / "chat.yaml"
    path.write_text(SPEC)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PILOTAGE_HOME", str(home))
        result = run(str(path), *FEW, "--json")
    assert result.exit_code == 0, result.output
    data: dict[str, Any] = json.loads(result.output)
    return data


def test_a_plan_is_a_page_a_file_and_html(spec: Path) -> None:
    output, html = spec.with_suffix(".json"), spec.with_suffix(".html")
    result = run(str(spec), *FEW, "-o", str(output), "--html", str(html))
    assert result.exit_code == 0, result.output
    assert "ECS on EC2 GPU" in result.output
    assert "a month: the cheapest that keeps the SLO" in " ".join(result.output.split())
    plan = read_plan(output)
    assert plan.name == "chat"
    assert plan.deployment.strategy == "ecs-gpu"
    assert plan.deployment.settings["max_model_len"] == 4096
    assert plan.predictions.ttft is not None
    assert plan.predictions.ttft.p99 <= 1
    assert html.read_text().startswith("<!")


def test_json_is_the_plan(planned: dict[str, Any]) -> None:
    assert planned["schema"] == "pilotage.plan/1"
    assert {row["of"] for row in planned["sensitivity"]} == {"load", "length"}


def test_flags_stand_for_the_spec(spec: Path, planned: dict[str, Any]) -> None:
    del spec
    command = ("hf://Qwen/Qwen2.5-1.5B-Instruct", "--rate", "3/s", "--prompt-tokens", "200:600")
    more = ("--completion-tokens", "40:100", "--ttft-p99", "1s", "--max-model-len", "4096")
    by_flags = json.loads(run(*command, *more, *FEW, "--json").output)
    assert by_flags["deployment"] == planned["deployment"]


def test_nothing_fits_is_an_answer_with_exit_code_1(spec: Path) -> None:
    result = run(str(spec), *FEW, "--usd-per-month", "50")
    assert result.exit_code == 1
    assert "Nothing fits" in result.output
    assert "aise the budget" in result.output
    data = json.loads(run(str(spec), *FEW, "--usd-per-month", "50", "--json").output)
    assert data["schema"] == "pilotage.plan-infeasible/1"
    assert data["relax"]


def test_a_portfolio_says_what_has_to_give(tmp_path: Path, spec: Path) -> None:
    del spec
    path = tmp_path / "two.yaml"
    path.write_text(PORTFOLIO % 100)
    config = ("--config", "own=Qwen/Qwen2.5-0.5B-Instruct")
    result = run(str(path), *config, *FEW, "--json")
    assert result.exit_code == 1
    data = json.loads(result.output)
    assert not data["fits"]
    assert set(data["shares"]) == {"chat", "own"}
    assert data["relax"]
    path.write_text(PORTFOLIO % 100000)
    held = run(str(path), *config, *FEW)
    assert held.exit_code == 0, held.output
    assert "All fit" in held.output


def test_a_config_beside_the_spec_stands_for_an_unreachable_source(
    tmp_path: Path, spec: Path
) -> None:
    del spec
    path = tmp_path / "two.yaml"
    path.write_text(PORTFOLIO % 100000)
    config = {
        "model_type": "llama",
        "hidden_size": 512,
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "num_key_value_heads": 8,
        "intermediate_size": 1024,
        "vocab_size": 32000,
        "max_position_embeddings": 4096,
    }
    (tmp_path / "own.config.json").write_text(json.dumps(config))
    result = run(str(path), "--deployment", "own", *FEW, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["model"]["layers"] == 4


def test_a_trace_gives_rate_and_lengths(tmp_path: Path, spec: Path) -> None:
    rows = "\n".join(f"{place * 0.5},{100 + place % 7},{20 + place % 3}" for place in range(400))
    trace = tmp_path / "trace.csv"
    trace.write_text(f"arrived_at,num_prefill_tokens,num_decode_tokens\n{rows}\n")
    data = json.loads(run(str(spec), *FEW, "--trace", str(trace), "--json").output)
    assert data["demand"]["rate"] == pytest.approx(2, rel=0.02)
    assert data["demand"]["shape"] == "steady"
    assert data["demand"]["prompt"]["p99"] == 106
    (note,) = [one for one in data["notes"] if "replayed" in one["text"]]
    assert "400 requests at their own times, with their own lengths" in note["text"]
    assert note["source"] == "trace.csv"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--rate", "0/s"), 2, "--rate: should be more than 0"),
        (("--ttft-p99", "2s", "--e2e-p99", "1s"), 2, "contradict"),
        (("--max-model-len", "1000000"), 2, "longer than the model's context"),
        (("--usd-per-month", "0"), 2, "more than 0"),
        (("--region", "eu-west-1"), 2, "no prices are known"),
        (("--region", "nowhere"), 2, "no AWS region"),
        (("--price", "g6.xlarge"), 2, "no price"),
        (("--price", "g6.xlarge=free"), 2, "number"),
        (("--strategy", "magic"), 2, "no strategy"),
        (("--assume", "luck=yes"), 2, "no assumption"),
        (("--spot", "--commitment", "1y"), 2, "cannot be committed"),
        (("--prompt-tokens", "many"), 2, "count"),
        (("--images", "large"), 2, "no size"),
        (("--images", "64x64"), 2, "takes none"),
        (("--config", "nobody/knows-this"), 2, "neither a file nor a model"),
        (("--deployment", "other"), 2, "only deployment"),
        (("--explain", "flibbertigibbet"), 2, ""),
    ],
)
def test_bad_input_is_named(spec: Path, arguments: tuple[str, ...], code: int, says: str) -> None:
    error = refused(str(spec), *arguments)
    assert error.exit_code == code
    assert says in str(error)


def test_a_spec_without_a_workload_says_what_to_add(tmp_path: Path, spec: Path) -> None:
    path = tmp_path / "none.yaml"
    path.write_text(SPEC.partition("workload:")[0])
    error = refused(str(path))
    assert "workload" in str(error)
    assert "--rate" in str(error)
    del spec


def test_an_unknown_architecture_says_how_to_give_numbers(tmp_path: Path, spec: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"model_type": "quantum"}')
    error = refused(str(spec), "--config", str(config))
    assert error.exit_code == 1
    assert "unknown architecture" in str(error)
    assert "hidden_size" in str(error)
    config.write_text('{"model_type": "llama"}')
    assert refused(str(spec), "--config", str(config)).exit_code == 1
    config.write_text("{")
    assert "no valid JSON" in str(refused(str(spec), "--config", str(config)))


def test_a_folder_without_a_config_says_so(tmp_path: Path, spec: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    error = refused(str(folder), "--rate", "1/s")
    assert error.exit_code == 1
    assert "no config.json" in str(error)
    assert "--config" in str(error)
    del spec


def test_words_are_explained(spec: Path) -> None:
    del spec
    result = run("--explain", "TTFT")
    assert result.exit_code == 0
    assert "first token" in result.output


class TestCheck:
    def test_a_sentence(self) -> None:
        result = run(
            "check", "Llama 3.2 11B Vision, 512x512 image + 128 tokens, p99 387 ms on a T4"
        )
        assert result.exit_code == 1
        assert result.output.startswith("impossible")
        assert "19.9 GiB of weights" in " ".join(result.output.split())

    def test_flags(self) -> None:
        result = run(
            "check", "--model", "hf://meta-llama/Llama-3.1-8B-Instruct", "--device", "L40S",
            "--completion", "100", "--prompt", "200", "--latency", "10s", "--ttft", "1s",
            "--throughput", "500", "--cost", "2000", "--json",
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        data = json.loads(result.output)
        assert data["possible"]
        assert {one["limit"] for one in data["findings"]} == {
            "number format", "memory", "latency", "first token", "throughput", "cost",
        }  # fmt: skip

    def test_workers_hold_copies(self) -> None:
        result = run(
            "check", "--model", "meta-llama/Llama-3.1-8B-Instruct", "--device", "L4",
            "--workers", "4",
        )  # fmt: skip
        assert result.exit_code == 1
        assert "4 copies" in result.output

    @pytest.mark.parametrize(
        "arguments",
        [
            (),
            ("nonsense",),
            ("--model", "Qwen/Qwen2.5-1.5B-Instruct", "--device", "abacus"),
            ("--model", "Qwen/Qwen2.5-1.5B-Instruct", "--device", "L4", "--count", "0"),
            ("--model", "Qwen/Qwen2.5-1.5B-Instruct", "--device", "L4", "--image", "9x9"),
        ],
    )
    def test_bad_input(self, arguments: tuple[str, ...]) -> None:
        assert refused("check", *arguments).exit_code == 2
