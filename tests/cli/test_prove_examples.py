"""Every example spec is a test that ``pilotage prove`` can make."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from odd_servers import OddServers, odd_servers
from proving import prove

from pilotage.prove.report import read_report
from pilotage.spec import Deployment, load_file

ROOT = Path(__file__).resolve().parents[2]


def _deployments() -> Iterator[tuple[str, Deployment]]:
    for path in sorted((ROOT / "examples").glob("*.yaml")):
        spec = load_file(path)
        deployments = (spec,) if isinstance(spec, Deployment) else spec.deployments
        yield from ((path.name, deployment) for deployment in deployments)


@pytest.fixture(scope="module")
def odd() -> Iterator[OddServers]:
    with odd_servers() as server:
        yield server


@pytest.mark.parametrize(
    ("file", "deployment"), list(_deployments()), ids=lambda each: getattr(each, "name", each)
)
def test_an_example_is_proven(
    odd: OddServers, tmp_path: Path, file: str, deployment: Deployment
) -> None:
    odd.seen.clear()
    code, _, err = prove(
        ROOT / "examples" / file, "--deployment", deployment.name, "--url", odd.url("ok"),
        "--model", "odd", "--seed", "1", "--rate", "20/s", "--duration", "1s", "--warm-up", "0.2s",
        "--tokenizer", "none", "--metrics", "none", "--out", "report", folder=tmp_path,
    )  # fmt: skip
    assert code == 0, err
    report = read_report(tmp_path / "report" / "report.json")
    assert report.name == deployment.name
    assert report.measures.outcomes == {"complete": report.measures.requests}
    assert report.slo == deployment.slo.model_dump(exclude_none=True)
    if deployment.workload is not None and deployment.workload.images is not None:
        images = deployment.workload.images
        assert f"{images.width}x{images.height}" in report.workload.payloads
        assert any("image_url" in str(body) for body in odd.posted())
