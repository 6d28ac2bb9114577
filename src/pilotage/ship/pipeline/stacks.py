"""ECS, SageMaker and Lambda: stacks of CloudFormation, which `pilotage ship` applies itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pilotage import __version__
from pilotage.ship.pipeline.commands import ADDRESS, COMPLETIONS, proof, ship, told
from pilotage.ship.pipeline.question import Pipeline
from pilotage.ship.pipeline.steps import KEY, runs
from pilotage.ship.pipeline.text import Step

_POLL: Final = "15s"
_ASYNC_MINUTES: Final = 30
_FUNCTION_PYTHON: Final = "3.13"


@dataclass(frozen=True, slots=True)
class Stacks:
    """See `Way`. The canary is a stack of its own, `pilotage-NAME-canary`.

    Attributes:
        balanced: Whether it is behind a load balancer, at an address that `prove` can ask.
    """

    balanced: bool

    @property
    def has_canary(self) -> bool:
        """See `Way`."""
        return True

    @property
    def has_key(self) -> bool:
        """See `Way`; SageMaker and Lambda ask for AWS's signature instead."""
        return self.balanced

    def variables(self, pipeline: Pipeline) -> tuple[tuple[str, str], ...]:
        """See `Way`."""
        if not _encrypted(pipeline):
            return ()
        return (("PILOTAGE_HOST", "a name that the certificate is for, under which it is proven"),)

    def ready(self, pipeline: Pipeline) -> list[Step]:
        """See `Way`."""
        del pipeline
        return []

    def difference(self, pipeline: Pipeline) -> list[Step]:
        """See `Way`."""
        return [runs("What would change", told("What would change", ship(pipeline, "diff")))]

    def change(self, pipeline: Pipeline, *, alone: bool) -> list[Step]:
        """See `Way`; a function's package goes before it."""
        apply = ship(
            pipeline,
            "apply",
            f"--yes --poll {_POLL} --timeout {pipeline.change_s(alone=alone)}s",
            alone=alone,
        )
        steps = [runs("Apply", apply, id="apply", env=KEY if self.has_key else None)]
        if pipeline.target == "lambda-bedrock" and pipeline.shipment.shipping.image.uri is None:
            steps.insert(0, runs("Upload the function", _package(pipeline, alone=alone)))
        return steps

    def ask(self, pipeline: Pipeline, *, alone: bool) -> list[Step]:
        """See `Way`."""
        if pipeline.target == "sagemaker-async":
            script = _asynchronous(pipeline, alone=alone)
            return [runs("Smoke test", script, timeout_minutes=_ASYNC_MINUTES)]
        smoke = ship(pipeline, "smoke", f"--count {COMPLETIONS}", alone=alone)
        return [runs("Smoke test", smoke, env=KEY if self.has_key else None)]

    def prove(self, pipeline: Pipeline) -> list[Step]:
        """See `Way`; what wants AWS's signature cannot be proven."""
        if not self.balanced:
            return []
        found = f"address=$({ship(pipeline, 'status', '--json', alone=True)} | {ADDRESS})"
        if not _encrypted(pipeline):
            script = "\n".join((found, proof(pipeline, url='"$address"')))
            return [runs("Prove", script, env=KEY)]
        # The certificate is for a domain, and the canary's balancer is new: the domain leads to
        # it on this machine only.
        script = "\n".join(
            (
                found,
                "host=${address#https://}",
                "ip=$(getent ahostsv4 \"$host\" | awk 'NR == 1 {print $1}')",
                'echo "$ip $PILOTAGE_HOST" | sudo tee -a /etc/hosts',
                proof(pipeline, url='"https://$PILOTAGE_HOST"'),
            )
        )
        env = {**KEY, "PILOTAGE_HOST": "${{ vars.PILOTAGE_HOST }}"}
        return [runs("Prove", script, env=env)]

    def remove(self, pipeline: Pipeline) -> list[Step]:
        """See `Way`."""
        destroy = ship(pipeline, "destroy", f"--yes --poll {_POLL} --timeout 1h", alone=True)
        return [runs("Take the canary away", destroy)]


def _encrypted(pipeline: Pipeline) -> bool:
    return (
        pipeline.target == "ecs" and pipeline.shipment.shipping.network.certificate_arn is not None
    )


def _package(pipeline: Pipeline, *, alone: bool) -> str:
    """Builds the function's zip and uploads it under the key that the template names."""
    region = pipeline.region
    pip = "python -m pip install --disable-pip-version-check --target package"
    platforms = "--platform manylinux2014_x86_64 --platform manylinux_2_28_x86_64"
    rendered = ship(pipeline, "render", '--output "$folder" --json', alone=alone)
    key = """python -c 'import json, sys; print(json.load(sys.stdin)["package_key"])'"""
    return "\n".join(
        (
            "folder=$(mktemp -d)",
            f"key=$({rendered} | {key})",
            'cd "$folder"',
            f"{pip} --python-version {_FUNCTION_PYTHON} --implementation cp {platforms} "
            "--only-binary :all: --requirement requirements.txt",
            f"{pip} --no-deps --upgrade 'pilotage=={__version__}'",
            "(cd package && python -m zipfile -c ../function.zip .)",
            "account=$(aws sts get-caller-identity --query Account --output text)",
            f'aws s3api put-object --region {region} --bucket "pilotage-$account-{region}" '
            '--expected-bucket-owner "$account" --key "$key" --body function.zip > /dev/null',
        )
    )


def _asynchronous(pipeline: Pipeline, *, alone: bool) -> str:
    """Puts one request into the endpoint's bucket and waits for its answer, or its failure."""
    region = pipeline.region
    bucket = """python -c 'import json, sys; print(json.load(sys.stdin)["outputs"]["Bucket"])'"""
    body = '{"messages": [{"role": "user", "content": "Name three birds."}], "max_tokens": 16}'
    return "\n".join(
        (
            f"bucket=$({ship(pipeline, 'status', '--json', alone=alone)} | {bucket})",
            'key="requests/pipeline-$GITHUB_RUN_ID-$GITHUB_RUN_ATTEMPT.json"',
            f"echo '{body}' > \"$RUNNER_TEMP/request.json\"",
            f'aws s3 cp --region {region} "$RUNNER_TEMP/request.json" "s3://$bucket/$key"',
            "places=$(aws sagemaker-runtime invoke-endpoint-async "
            f"--region {region} --endpoint-name {pipeline.released(alone=alone)} "
            '--content-type application/json --input-location "s3://$bucket/$key" '
            "--query '[OutputLocation, FailureLocation]' --output text)",
            'read -r answer failure <<< "$places"',
            f'until aws s3 cp --region {region} "$answer" "$RUNNER_TEMP/answer.json"; do',
            f'  if aws s3 cp --region {region} "$failure" - 2> /dev/null; then exit 1; fi',
            "  sleep 15",
            "done",
            """grep -q '"choices"' "$RUNNER_TEMP/answer.json\"""",
        )
    )
