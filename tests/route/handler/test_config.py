from pathlib import Path

import pytest

from pilotage.errors import UsageError
from pilotage.route.handler.config import HandlerConfig


def test_a_spec_is_enough() -> None:
    config = HandlerConfig.read({"PILOTAGE_SPEC": "spec.yaml", "LAMBDA_TASK_ROOT": "/var/task"})
    assert config == HandlerConfig(spec=Path("/var/task/spec.yaml"))
    assert (config.history, config.failed_verdict) == ("refuse", "BLOCK")


def test_everything_given(tmp_path: Path) -> None:
    (tmp_path / "rules.txt").write_text("No advertising.\n")
    config = HandlerConfig.read(
        {
            "PILOTAGE_SPEC": "/opt/spec.yaml",
            "LAMBDA_TASK_ROOT": str(tmp_path),
            "PILOTAGE_DEPLOYMENT": "chatbot",
            "PILOTAGE_ENDPOINTS": "moderate",
            "PILOTAGE_HISTORY": "trim",
            "PILOTAGE_MODERATION_FAILED": "WARN",
            "PILOTAGE_MODERATION_RULES": "rules.txt",
            "PILOTAGE_MODERATION_FORMAT": "none",
            "PILOTAGE_BASE_PATH": "/models/",
            "PILOTAGE_API_TIMEOUT": "1m",
        }
    )
    assert config == HandlerConfig(
        spec=Path("/opt/spec.yaml"),
        deployment="chatbot",
        endpoints=frozenset({"moderate"}),
        history="trim",
        failed_verdict="WARN",
        rules="No advertising.",
        answer_format="none",
        base_path="/models",
        api_timeout_s=60.0,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PILOTAGE_SPEC", ""),
        ("PILOTAGE_ENDPOINTS", "chat,embed"),
        ("PILOTAGE_HISTORY", "forget"),
        # There is no way to have failures pass.
        ("PILOTAGE_MODERATION_FAILED", "SAFE"),
        ("PILOTAGE_MODERATION_FORMAT", "xml"),
        ("PILOTAGE_BASE_PATH", "models"),
        ("PILOTAGE_API_TIMEOUT", "soon"),
        ("PILOTAGE_API_TIMEOUT", "0"),
        ("PILOTAGE_API_TIMEOUT", "1h"),
    ],
)
def test_what_is_wrong_is_named(name: str, value: str) -> None:
    with pytest.raises(UsageError) as caught:
        HandlerConfig.read({"PILOTAGE_SPEC": "spec.yaml", name: value})
    assert caught.value.where == name


@pytest.mark.parametrize("content", [None, b"\xff", b"x" * 70_000])
def test_rules_that_cannot_be_used(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "rules.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        HandlerConfig.read({"PILOTAGE_SPEC": "s", "PILOTAGE_MODERATION_RULES": str(path)})
    assert caught.value.where == str(path)
