"""Kubernetes and KServe: a cluster of EKS, which `pilotage ship` applies to through kubectl."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pilotage.ship.pipeline.commands import COMPLETIONS, proof, ship, told
from pilotage.ship.pipeline.question import Pipeline
from pilotage.ship.pipeline.steps import KEY, runs
from pilotage.ship.pipeline.text import Step

_PORT: Final = 18000
_HERE: Final = f"http://127.0.0.1:{_PORT}"
_LLM: Final = "LLMInferenceService"
_WHILE: Final = (
    "trap 'kill \"$forward\"' EXIT",
    f'until (: < /dev/tcp/127.0.0.1/{_PORT}) 2> /dev/null; do kill -0 "$forward"; sleep 1; done',
)
_PROVE_MINUTES: Final = 40
_SMOKE_MINUTES: Final = 20


@dataclass(frozen=True, slots=True)
class Clusters:
    """See `Way`. The canary is a release of its own beside the real one, in the same namespace."""

    @property
    def has_canary(self) -> bool:
        """See `Way`."""
        return True

    @property
    def has_key(self) -> bool:
        """See `Way`."""
        return True

    def variables(self, pipeline: Pipeline) -> tuple[tuple[str, str], ...]:
        """See `Way`."""
        del pipeline
        return (("EKS_CLUSTER", "name of the cluster"),)

    def ready(self, pipeline: Pipeline) -> list[Step]:
        """See `Way`."""
        script = f'aws eks update-kubeconfig --region {pipeline.region} --name "$EKS_CLUSTER"'
        return [
            runs("Reach the cluster", script, env={"EKS_CLUSTER": "${{ vars.EKS_CLUSTER }}"}),
        ]

    def difference(self, pipeline: Pipeline) -> list[Step]:
        """See `Way`."""
        return [runs("What would change", told("What would change", ship(pipeline, "diff")))]

    def change(self, pipeline: Pipeline, *, alone: bool) -> list[Step]:
        """See `Way`; KServe's own objects are waited for, as their Deployments are not ours."""
        limit = pipeline.change_s(alone=alone)
        flags = f"--yes --timeout {limit}s --no-completion"
        script = ship(pipeline, "apply", flags, alone=alone)
        if pipeline.target == "kserve":
            script += "\n" + _kubectl(
                pipeline,
                f"wait --for=condition=Ready --timeout={limit}s {_served(pipeline, alone=alone)}",
            )
        return [runs("Apply", script, id="apply")]

    def ask(self, pipeline: Pipeline, *, alone: bool) -> list[Step]:
        """See `Way`."""
        smoke = ship(pipeline, "smoke", f'--count {COMPLETIONS} --address "$address"', alone=alone)
        script = "\n".join((*_address(pipeline, alone=alone), smoke))
        return [runs("Smoke test", script, env=KEY, timeout_minutes=_SMOKE_MINUTES)]

    def prove(self, pipeline: Pipeline) -> list[Step]:
        """See `Way`."""
        script = "\n".join((*_address(pipeline, alone=True), proof(pipeline, url='"$address"')))
        return [runs("Prove", script, env=KEY, timeout_minutes=_PROVE_MINUTES)]

    def remove(self, pipeline: Pipeline) -> list[Step]:
        """See `Way`; the cached weights stay (a claim of a volume), for the next canary."""
        return [runs("Take the canary away", ship(pipeline, "destroy", "--yes", alone=True))]


def _kubectl(pipeline: Pipeline, words: str) -> str:
    return f"kubectl --namespace {pipeline.shipment.shipping.namespace} {words}"


def _served(pipeline: Pipeline, *, alone: bool) -> str:
    kind = "llminferenceservice" if _LLM in pipeline.kinds else "inferenceservice"
    return f"{kind}/{pipeline.released(alone=alone)}"


def _address(pipeline: Pipeline, *, alone: bool) -> tuple[str, ...]:
    """Lines after which $address answers: KServe's gateway, or a tunnel to the Service."""
    if pipeline.target == "kserve":
        asked = f"get {_served(pipeline, alone=alone)} --output 'jsonpath={{.status.url}}'"
        return (f"address=$({_kubectl(pipeline, asked)})",)
    tunnel = (
        f"port-forward service/{pipeline.released(alone=alone)} {_PORT}:{pipeline.service_port}"
    )
    return (f"{_kubectl(pipeline, tunnel)} &", "forward=$!", *_WHILE, f"address={_HERE}")
