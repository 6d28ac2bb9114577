import json
import random

import pytest
import typer
from typer.testing import CliRunner

from pilotage.cli.route_calibrate import calibrate_command
from pilotage.errors import PilotageError
from pilotage.route.calibration import Calibration

SPEC = """
name: demo
routing:
  tiers:
    - name: small
      backends: [{kind: openai, url: "http://127.0.0.1:1/v1", model: org/Small}]
      price: {input: 0.1, output: 0.4}
    - name: large
      backends: [{kind: openai, url: "http://127.0.0.1:1/v1", model: org/Large}]
      price: {input: 2.5, output: 10}
  estimator: {kind: rules}
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "spec.yaml").write_text(SPEC)
    app = typer.Typer()
    app.command()(calibrate_command)

    def run(data, *args):
        result = CliRunner(env={"COLUMNS": "140"}).invoke(
            app, [str(data), "--spec", str(tmp_path / "spec.yaml"), *args]
        )
        if isinstance(result.exception, PilotageError):
            return result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


@pytest.fixture
def data(tmp_path):
    def write(sure, count=600):
        drawn = random.Random(3)
        path = tmp_path / "data.jsonl"
        with path.open("w") as file:
            for number in range(count):
                small = int(drawn.random() < 0.55)
                logprobs = [min(0.0, drawn.gauss(-1 + sure * small, 0.4)) for _ in range(20)]
                row = {
                    "prompt": f"question {number}",
                    "scores": {"org/Small": small, "large": int(drawn.random() < 0.9)},
                    "logprobs": {"small": logprobs},
                    "tokens": {t: {"prompt": 50, "completion": 50} for t in ("small", "large")},
                }
                print(json.dumps(row), file=file)
        return path

    return write


def test_a_cascade_that_pays(run, data, tmp_path):
    page = run(data(0.6), "--quality-target", "0.85")
    assert "Chosen: cascade" in page
    assert "It beats the linear mix" in page
    assert "checks: [schema, refusal, truncation, logprobs]" in page
    path = tmp_path / "spec.routing.json"
    assert f"In the spec: routing.calibration: {path}" in page
    assert Calibration.load(path).chosen.startswith("cascade")


def test_answers_alone_make_a_cascade(run, tmp_path):
    drawn = random.Random(5)
    path = tmp_path / "data.jsonl"
    with path.open("w") as file:
        for number in range(400):
            small = int(drawn.random() < 0.55)
            row = {
                "prompt": f"question {number}",
                "scores": {"small": small, "large": int(drawn.random() < 0.9)},
                "answers": {"small": f"It is {number}." if small else "I cannot tell, sorry."},
                "tokens": {t: {"prompt": 50, "completion": 50} for t in ("small", "large")},
            }
            print(json.dumps(row), file=file)
    page = run(path, "--quality-target", "0.8")
    assert "Chosen: cascade" in page
    assert "checks: [schema, refusal, truncation, scorer]" in page
    assert "routing.stream_buffer: true" in page
    assert Calibration.load(tmp_path / "spec.routing.json").setup.signals == ("scorer",)


def test_do_not_cascade_here_is_an_answer(run, data, tmp_path):
    page = run(data(0.0), "-o", str(tmp_path / "r.json"))
    assert "Chosen: static, tier large" in page
    assert "Do not route or cascade here" in page
    assert not any(
        fit.comparison.beats for fit in Calibration.load(tmp_path / "r.json").policies.values()
    )


def test_json_has_the_figures_and_no_models(run, data, tmp_path):
    said = json.loads(
        run(data(0.6), "--json", "--usd-per-request", "$0.0003", "-o", str(tmp_path / "r.json"))
    )
    assert said["file"] == str(tmp_path / "r.json")
    assert said["schema"] == "pilotage.routing/1"
    assert said["goal"]["usd"] == "0.0003"
    assert {"quality", "usd", "over_mix", "beats"} <= set(said["policies"]["cascade"]["comparison"])
    assert "logprobs" not in said
    assert "scorer" not in said
    assert "classifier" not in said


def test_csv_with_a_column_of_another_name(run, tmp_path):
    path = tmp_path / "d.csv"
    lines = [f"q{number},{number % 2},1" for number in range(200)]
    path.write_text("\n".join(["prompt,tiny,org/Large", *lines]))
    assert "no column for the tier small" in str(run(path))
    page = run(path, "--column", "small=tiny", "--completion-tokens", "100")
    assert "The tokens of 100% of the answers are estimated" in page
    assert "No cascade could be measured" in page


def test_bad_data_is_named_by_its_line(run, tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text('{"prompt": "a", "scores": {"small": 1, "large": 1}}\n{"prompt": "b"}\n')
    error = run(path)
    assert error.where == f"{path}:2"
    assert error.exit_code == 2


@pytest.mark.parametrize(
    ("args", "where"),
    [
        (["--usd-per-request", "-1"], "--usd-per-request"),
        (["--usd-per-request", "much"], "--usd-per-request"),
        (["--column", "huge=x"], "--column"),
        (["--column", "small"], "--column"),
    ],
)
def test_flags_that_make_no_sense(run, data, args, where):
    error = run(data(0.6, 1), *args)
    assert (error.where, error.exit_code) == (where, 2)


def test_a_spec_without_routing(run, data, tmp_path):
    (tmp_path / "spec.yaml").write_text("name: demo\n")
    assert "there is no routing section" in str(run(data(0.6, 1)))
