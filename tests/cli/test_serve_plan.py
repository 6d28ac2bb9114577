"""``pilotage serve --plan``: what of a plan becomes settings of the engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pilotage.cli.flags import apply_overrides
from pilotage.cli.serve_plan import plan_overrides
from pilotage.errors import SpecError, UsageError
from pilotage.spec import Deployment


def plan(folder: Path, **deployment: Any) -> Path:
    path = folder / "plan.json"
    path.write_text(
        json.dumps(
            {
                "schema": "pilotage.plan/1",
                "name": "chat",
                "created_at": "2026-11-22T12:00:00Z",
                "pilotage": "0.1.0",
                "deployment": {"strategy": "ecs-gpu", "engine": "vllm", **deployment},
                "predictions": {"rate": 1},
            }
        )
    )
    return path


def test_settings_become_the_spec_s(tmp_path: Path) -> None:
    path = plan(
        tmp_path,
        dtype="fp8",
        tensor_parallel=4,
        settings={"max_num_seqs": 64, "max_num_batched_tokens": 2048, "max_model_len": 4096},
    )
    spec = apply_overrides(Deployment(), plan_overrides(path))
    assert spec.model.engine == "vllm"
    assert spec.model.dtype == "fp8"
    assert spec.model.max_model_len == 4096
    assert (spec.serving.max_num_seqs, spec.serving.max_num_batched_tokens) == (64, 2048)
    assert (spec.serving.tensor_parallel, spec.serving.pipeline_parallel) == (4, 1)


def test_formats_of_the_files_stay_the_files(tmp_path: Path) -> None:
    spec = apply_overrides(Deployment(), plan_overrides(plan(tmp_path, dtype="awq")))
    assert spec.model.dtype == "auto"


def test_what_a_provider_runs_is_not_served(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the provider runs the model"):
        plan_overrides(plan(tmp_path, strategy="bedrock-on-demand", engine=None))


def test_no_plan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError):
        plan_overrides(tmp_path / "none.json")
