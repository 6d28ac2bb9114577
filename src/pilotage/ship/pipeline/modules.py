"""Terraform: the rendered root module, applied by terraform with its state in a bucket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pilotage.ship.pipeline.commands import arguments, proof, ship
from pilotage.ship.pipeline.question import Pipeline
from pilotage.ship.pipeline.steps import KEY, runs, uses
from pilotage.ship.pipeline.text import Step

TERRAFORM: Final = "1.14.6"
"""Whose S3 state locks itself (from 1.10 on)."""

_VALUES: Final = {
    "TFVARS": "${{ vars.TFVARS }}",
    "STATE_BUCKET": "${{ vars.STATE_BUCKET }}",
}
_URL: Final = {"PILOTAGE_URL": "${{ vars.PILOTAGE_URL }}"}


@dataclass(frozen=True, slots=True)
class Modules:
    """See `Way`. The canary is the same module with a state, names and variables of its own."""

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
        return (
            ("TFVARS", "the module's variables that have no default, a JSON object"),
            ("STATE_BUCKET", "the bucket of Terraform's state, versioned and encrypted"),
            ("PILOTAGE_URL", "where it answers: https://, one of the module's dns_names"),
        )

    def ready(self, pipeline: Pipeline) -> list[Step]:
        """See `Way`."""
        del pipeline
        return [
            uses(
                "hashicorp/setup-terraform",
                "Terraform",
                {"terraform_version": TERRAFORM, "terraform_wrapper": False},
            )
        ]

    def difference(self, pipeline: Pipeline) -> list[Step]:
        """See `Way`."""
        shown = "\n".join(
            (
                'terraform plan -input=false -no-color -lock=false | tee "$RUNNER_TEMP/told"',
                "{",
                "  printf '### What would change\\n\\n'",
                """  sed 's/^/    /' "$RUNNER_TEMP/told\"""",
                '} >> "$GITHUB_STEP_SUMMARY"',
            )
        )
        script = f"{_module(pipeline, alone=False)}\nterraform validate\n{shown}"
        return [runs("What would change", script, env=_VALUES)]

    def change(self, pipeline: Pipeline, *, alone: bool) -> list[Step]:
        """See `Way`."""
        script = f"{_module(pipeline, alone=alone)}\nterraform apply -input=false -auto-approve"
        return [runs("Apply", script, id="apply", env=_VALUES)]

    def ask(self, pipeline: Pipeline, *, alone: bool) -> list[Step]:
        """See `Way`; by `prove`, as `ship smoke` does not know what terraform applied."""
        script = (
            f'pilotage prove {arguments(pipeline, plan=False)} --url "$PILOTAGE_URL" '
            f"--concurrency 1 --requests 20 --wait {pipeline.change_s(alone=alone)}s "
            '--tokenizer none --out "$RUNNER_TEMP/smoke"'
        )
        return [runs("Smoke test", script, env={**KEY, **_URL})]

    def prove(self, pipeline: Pipeline) -> list[Step]:
        """See `Way`."""
        return [runs("Prove", proof(pipeline, url='"$PILOTAGE_URL"'), env={**KEY, **_URL})]

    def remove(self, pipeline: Pipeline) -> list[Step]:
        """See `Way`."""
        script = f"{_module(pipeline, alone=True)}\nterraform destroy -input=false -auto-approve"
        return [runs("Take the canary away", script, env=_VALUES)]


def _module(pipeline: Pipeline, *, alone: bool) -> str:
    """Renders the module into a new folder, goes there, and says where its state is."""
    region = pipeline.region
    state = f"-backend-config='key={pipeline.released(alone=alone)}.tfstate'"
    return "\n".join(
        (
            "folder=$(mktemp -d)",
            ship(pipeline, "render", '--output "$folder"', alone=alone),
            'cd "$folder"',
            "printf '%s\\n' 'terraform {' '  backend \"s3\" {}' '}' > backend.tf",
            "printf '%s' \"$TFVARS\" > terraform.tfvars.json",
            f'terraform init -input=false -backend-config="bucket=$STATE_BUCKET" {state} '
            f"-backend-config='region={region}' -backend-config='use_lockfile=true' "
            "-backend-config='encrypt=true'",
        )
    )
