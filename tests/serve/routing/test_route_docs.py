"""The worked examples of docs/route.md, run: the gateway's page, and a row of the user's data."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
import yaml
from provider_stand_in import StandIn
from running import serving
from typer.testing import CliRunner

from pilotage.cli.main import app
from pilotage.route.handler.config import HandlerConfig
from pilotage.spec import parse

PAGE = (Path(__file__).parents[3] / "docs" / "route.md").read_text()
SPEC = re.findall(r"```yaml\n(# gateway\.yaml\n.*?)```", PAGE, re.DOTALL)[0]
ROW = json.loads(re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0])


def test_the_gateway_answers_as_the_page_shows(
    small: StandIn, big: StandIn, tmp_path: Path
) -> None:
    spec = tmp_path / "gateway.yaml"
    spec.write_text(
        SPEC.replace("http://127.0.0.1:9001/v1", small.url).replace(
            "http://127.0.0.1:9002/v1", big.url
        )
    )
    body = re.findall(r"-d '(\{.*?\})'", PAGE)[0]
    environment = {"BIG_API_KEY": "sk-big", "PILOTAGE_HOME": str(tmp_path), "PILOTAGE_SOURCE": ""}
    with serving(str(spec), environment=environment, start_s=60) as server:
        answer = httpx.post(f"{server.url}/chat/completions", json=json.loads(body))
    assert answer.status_code == 200, answer.text
    shown = re.findall(r"^(x-pilotage-[a-z-]+): (.*)$", PAGE, re.MULTILINE)
    assert {name: answer.headers[name] for name, _ in shown} == dict(shown)
    assert len(shown) == 3


def test_a_row_as_shown_can_be_calibrated_on(tmp_path: Path) -> None:
    spec, data = tmp_path / "gateway.yaml", tmp_path / "conversations.jsonl"
    spec.write_text(SPEC)
    rows = [
        {
            **ROW,
            "prompt": f"{ROW['prompt']} {number}",
            "scores": {"small": float(number % 3 > 0), "big": 1.0},
            "logprobs": {"small": [-0.1, -0.02 if number % 3 else -2.0]},
        }
        for number in range(240)
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / "routing.json"
    result = CliRunner().invoke(
        app, ["route", "calibrate", str(data), "--spec", str(spec), "-o", str(out), "--json"]
    )
    assert result.exit_code == 0, result.output
    found = json.loads(out.read_bytes())
    assert found["schema"] == "pilotage.routing/1"
    assert found["tiers"] == ["small", "big"]


def test_the_page_knows_the_policies_checks_and_variables() -> None:
    fields = yaml.safe_load(SPEC)
    parse(SPEC, "gateway.yaml")
    assert fields["routing"]["policy"] == "static"
    for word in ("router", "cascade", "cascade_routing", "schema", "refusal", "truncation",
                 "logprobs", "agreement", "judge", "rules", "classifier", "llm"):  # fmt: skip
        assert f"`{word}`" in PAGE
    variables = set(re.findall(r"^\| `(PILOTAGE_[A-Z_]+)`", PAGE, re.MULTILINE))
    assert "PILOTAGE_SPEC" in variables
    assert all(name in (HandlerConfig.__doc__ or "") for name in variables)
