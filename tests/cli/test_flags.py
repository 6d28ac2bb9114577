import re
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from pilotage.cli.flags import Overrides, apply_overrides, flag_of, spec_options, with_spec_flags
from pilotage.errors import SpecError
from pilotage.spec import (
    EMBEDDED_SHA256,
    BudgetSpec,
    Deployment,
    ModelSpec,
    ServingSpec,
    SloSpec,
    WorkloadSpec,
)
from pilotage.spec.reference import fields_of


class Command:
    """A command with flags, and what its last call received."""

    def __init__(self) -> None:
        self.app = typer.Typer()
        self.received: dict[str, Any] = {}

        @self.app.command()
        @with_spec_flags(ServingSpec, ModelSpec, SloSpec, exclude={"source"})
        def serve(
            spec: Annotated[str | None, typer.Argument(help="A spec file.")] = None,
            dry_run: Annotated[bool, typer.Option("--dry-run")] = False,
            *,
            overrides: Overrides,
        ) -> None:
            """Serve a model."""
            self.received = {"spec": spec, "dry_run": dry_run, "overrides": overrides}

    def run(self, *arguments: str) -> Any:
        return CliRunner().invoke(self.app, arguments, env={"COLUMNS": "200", "TERM": "dumb"})


@pytest.fixture
def command() -> Command:
    return Command()


def test_only_given_flags_arrive(command: Command) -> None:
    assert command.run().exit_code == 0
    assert command.received == {"spec": None, "dry_run": False, "overrides": {}}
    result = command.run(
        "demo.yaml", "--dry-run", "--port", "0", "--kv-cache", "2GiB", "--no-prefix-caching",
        "--ttft-p99", "400ms", "--max-model-len", "4096", "--memory-fraction", "0.5",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert command.received["spec"] == "demo.yaml"
    assert command.received["dry_run"] is True
    assert command.received["overrides"] == {
        "serving": {"port": 0, "kv_cache": "2GiB", "prefix_caching": False, "memory_fraction": 0.5},
        "slo": {"ttft_p99": "400ms"},
        "model": {"max_model_len": 4096},
    }


def test_help_is_the_description_of_the_field(command: Command) -> None:
    text = " ".join(re.sub(r"[│╭╮╰╯─]", " ", command.run("--help").output).split())
    for section in (ServingSpec, ModelSpec, SloSpec):
        for field in fields_of(section):
            name = field.name
            if name == "source" or field.kind in ("section", "list", "mapping"):
                continue
            assert flag_of(name) in text
            assert " ".join(str(field.description).split()) in text, name
    assert "[default: (8000)]" in text
    assert "[default: (10m)]" in text
    assert "--no-prefix-caching" in text
    assert "One of auto, openvino, vllm" in text
    assert "--source" not in text


def test_flag_names_fit_a_narrow_terminal(command: Command) -> None:
    result = CliRunner().invoke(command.app, ["--help"], env={"COLUMNS": "80", "TERM": "dumb"})
    assert "--max-num-batched-tokens" in result.output


def test_typer_itself_refuses_what_is_no_number(command: Command) -> None:
    result = command.run("--port", "abc")
    assert result.exit_code == 2
    assert "--port" in result.output


def test_overrides_go_through_the_spec() -> None:
    changed = apply_overrides(
        Deployment(name="demo", serving=ServingSpec(workers=2)),
        {"serving": {"port": 0, "kv_cache": "2GiB"}, "slo": {"ttft_p99": "400ms"}},
    )
    assert changed.name == "demo"
    assert (changed.serving.workers, changed.serving.port) == (2, 0)
    assert changed.serving.kv_cache == 2 * 1024**3
    assert changed.ttft_target == 0.4
    assert changed.model.sha256 == EMBEDDED_SHA256


def test_no_flags_change_nothing() -> None:
    deployment = Deployment()
    assert apply_overrides(deployment, {}) is deployment


def test_a_new_source_drops_what_described_the_old_one() -> None:
    old = Deployment(
        model=ModelSpec(source="hf://a/b", revision="abc", served_name="b", max_model_len=512)
    )
    model = apply_overrides(old, {"model": {"source": "hf://c/d"}}).model
    assert (model.revision, model.served_name, model.max_model_len) == (None, None, 512)
    assert apply_overrides(Deployment(), {"model": {"source": "hf://c/d"}}).model.sha256 is None
    named = apply_overrides(old, {"model": {"source": "hf://c/d", "served_name": "x"}}).model
    assert named.served_name == "x"


def test_paths_in_flags_start_at_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    overrides: Overrides = {"model": {"source": "./m.gguf"}, "serving": {"api_keys": "keys.json"}}
    changed = apply_overrides(Deployment(), overrides)
    assert changed.model.local_path == tmp_path / "m.gguf"
    assert changed.serving.api_keys == tmp_path / "keys.json"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"serving": {"port": 99999}}, "--port: should be at most 65535, got 99999"),
        ({"serving": {"kv_cache": "1B"}}, '--kv-cache: should be at least 1MiB, got "1B"'),
        (
            {"serving": {"log_level": "loud"}},
            '--log-level: should be one of debug, info, warning, error; got "loud"',
        ),
        (
            {"slo": {"ttft_p99": "5x"}},
            '--ttft-p99: unknown unit "x" in "5x"; units are us, ms, s, m, min, h, d',
        ),
        (
            {"serving": {"workers": 0, "max_n": 0}},
            "--workers: should be at least 1, got 0\n--max-n: should be at least 1, got 0",
        ),
    ],
)
def test_errors_name_the_flag(overrides: Overrides, expected: str) -> None:
    with pytest.raises(SpecError) as caught:
        apply_overrides(Deployment(), overrides)
    assert str(caught.value) == expected
    assert caught.value.exit_code == 2


def test_sections_inside_a_section_have_no_flags() -> None:
    assert spec_options(WorkloadSpec) == {"workload": []}


def test_names_that_clash_are_refused_when_the_command_is_defined() -> None:
    with pytest.raises(ValueError, match="both a parameter and a flag: port"):

        @with_spec_flags(ServingSpec)
        def serve(port: int, overrides: Overrides) -> None: ...

    with pytest.raises(ValueError, match="flags of two sections: usd_per_month, usd_per_request"):
        spec_options(BudgetSpec, BudgetSpec)
    with pytest.raises(ValueError, match="Deployment is no section of a deployment"):
        spec_options(Deployment)
