"""What is bought: the request of the API, as data and as the file that people review."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from pilotage.catalog.prices import bedrock_id
from pilotage.errors import UsageError
from pilotage.ship.target import Shipment
from pilotage.ship.targets.aws_parts import checked_name

Commitment = Literal["OneMonth", "SixMonths"]

MONTHS: Final[Mapping[Commitment, int]] = {"OneMonth": 1, "SixMonths": 6}
"""How long units are paid at least."""

LONGEST_NAME: Final = 63
FILE: Final = "throughput.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ThroughputRequest:
    """A purchase of model units.

    Attributes:
        name: Of the provisioned throughput; unique in account and region.
        model_id: Bedrock's id of the model, or a custom model's ARN.
        units: Model units.
        commitment: None is by the hour, until it is deleted.
        tags: On it.
    """

    name: str
    model_id: str
    units: int
    commitment: Commitment | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    def as_api(self) -> dict[str, Any]:
        """The arguments of ``create_provisioned_model_throughput``."""
        request: dict[str, Any] = {
            "provisionedModelName": self.name,
            "modelId": self.model_id,
            "modelUnits": self.units,
        }
        if self.commitment is not None:
            request["commitmentDuration"] = self.commitment
        request["tags"] = [{"key": key, "value": value} for key, value in sorted(self.tags.items())]
        return request

    def as_json(self) -> str:
        """The file: what ``aws bedrock create-provisioned-model-throughput`` takes, too."""
        return json.dumps(self.as_api(), indent=2, ensure_ascii=False) + "\n"

    @staticmethod
    def read(text: str) -> ThroughputRequest:
        """The request of a file that was rendered, and perhaps changed since.

        Raises:
            UsageError: It is no such request.
        """
        try:
            data = json.loads(text)
            units, commitment = data["modelUnits"], data.get("commitmentDuration")
            if type(units) is not int or units < 1:
                raise _wrong(f"modelUnits should be a whole number from 1, got {units!r}")
            if commitment is not None and commitment not in MONTHS:
                raise _wrong(f"there is no commitmentDuration {commitment!r}")
            return ThroughputRequest(
                name=str(data["provisionedModelName"]),
                model_id=str(data["modelId"]),
                units=units,
                commitment=cast(Commitment | None, commitment),
                tags={str(one["key"]): str(one["value"]) for one in data.get("tags", [])},
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            raise _wrong("is no request for provisioned throughput") from None


def model_id_of(shipment: Shipment) -> str:
    """Bedrock's id of the shipment's model: of its one Bedrock tier, else of the Hub's model.

    Raises:
        UsageError: Bedrock sells no units of it, as far as the catalog knows.
    """
    routing = shipment.deployment.routing
    named = {
        backend.model
        for tier in (routing.tiers if routing is not None else ())
        for backend in tier.backends
        if backend.kind == "bedrock" and backend.model is not None
    }
    if len(named) == 1:
        return named.pop()
    if len(named) > 1:
        raise UsageError(
            f"model units are of one model; the tiers have {len(named)}",
            where="routing.tiers",
            hint="Ship the deployment of that one model on its own",
        )
    source = shipment.deployment.model.source
    found = bedrock_id(source)
    if found is None:
        raise UsageError(
            f"Bedrock sells no model units of {source}, as far as the catalog knows",
            where="model.source",
            hint="Take a model that it sells, or write a tier of kind bedrock with the ARN of the "
            "model that you customised within Bedrock",
        )
    return found


def request_of(shipment: Shipment, commitment: Commitment | None) -> ThroughputRequest:
    """What the shipment needs: the plan's units, under the deployment's name.

    Raises:
        UsageError: There is no such model, or the name is too long.
    """
    return ThroughputRequest(
        name=checked_name(shipment, LONGEST_NAME, "the provisioned throughput"),
        model_id=model_id_of(shipment),
        units=max(1, shipment.sizing.desired),
        commitment=commitment,
        tags=shipment.tags,
    )


def _wrong(what: str) -> UsageError:
    return UsageError(what, where=FILE, hint="Render it again: pilotage ship render")
