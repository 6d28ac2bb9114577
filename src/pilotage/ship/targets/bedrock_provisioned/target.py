"""Provisioned throughput: what is rendered is the request, to be reviewed before it is paid."""

from __future__ import annotations

from collections.abc import Sequence

from pilotage.catalog.prices import PriceBook, UnknownPriceError, load_price_book
from pilotage.fetch import default_home
from pilotage.ship.target import Rendered, Shipment
from pilotage.ship.targets.bedrock_provisioned.lifecycle import BedrockLifecycle
from pilotage.ship.targets.bedrock_provisioned.request import FILE, ThroughputRequest, request_of
from pilotage.ship.targets.bedrock_provisioned.spend import Spend, cheapest, offers


class BedrockProvisionedTarget(BedrockLifecycle):
    """Model units of Amazon Bedrock: a target that is its own lifecycle.

    Args:
        prices: The price book; that of the shipment's region and Pilotage's home if None.
        months: How long the units are needed, by which the commitment is chosen. One month binds
            least of what has a term: a longer one is for those who say so.
    """

    def __init__(self, prices: PriceBook | None = None, *, months: float = 1.0) -> None:
        super().__init__(prices=prices)
        self._months = months

    def render(self, shipment: Shipment) -> Rendered:
        """The request and a README with what it costs.

        Raises:
            UsageError: Bedrock sells no units of the model.
        """
        plain = request_of(shipment, None)
        known = self._offers(shipment, plain)
        chosen = cheapest(known, self._months)
        request = plain if chosen is None else request_of(shipment, chosen.commitment)
        notes = _notes(shipment, chosen)
        return Rendered(
            files={
                FILE: request.as_json(),
                "README.md": _readme(shipment, request, known, chosen, notes),
            },
            notes=notes,
            warnings=() if chosen is None or not chosen.months else (chosen.sentences()[1],),
            extra={"request": request.as_api()},
        )

    def _offers(self, shipment: Shipment, request: ThroughputRequest) -> tuple[Spend, ...]:
        try:
            prices = self._prices or load_price_book(shipment.shipping.region, home=default_home())
        except UnknownPriceError:
            return ()
        return offers(request.model_id, request.units, prices)


def _notes(shipment: Shipment, chosen: Spend | None) -> tuple[str, ...]:
    found = [
        "Model units are a quota of the account that begins at 0: ask AWS before you apply.",
        "It is paid from its creation on, used or not; nothing scales it.",
        "Some models are sold in units only under a variant of their id (with a context length, "
        "such as :128k), and base models only with a commitment: Bedrock's model page says which.",
    ]
    if chosen is None:
        found.append(
            "What a unit costs is not published and nobody told: the request has no commitment, "
            "and apply asks for the price. Pass it as --price bedrock/ID:model-unit=AMOUNT (and "
            "model-unit-one-month, model-unit-six-months)."
        )
    if shipment.shipping.account is not None:
        found.append(f"For the account {shipment.shipping.account}.")
    return tuple(found)


def _readme(
    shipment: Shipment,
    request: ThroughputRequest,
    known: Sequence[Spend],
    chosen: Spend | None,
    notes: Sequence[str],
) -> str:
    region = f"--region {shipment.shipping.region}"
    lines = [
        f"# {shipment.deployment.name}: provisioned throughput on Bedrock",
        "",
        f"{request.units} model unit(s) of {request.model_id}. CloudFormation has no type for it: "
        f"`{FILE}` is the request of the API, and `pilotage ship apply` makes it once, after "
        "showing what it costs.",
        "",
        "## What it costs",
    ]
    if chosen is not None:
        lines += [
            *chosen.sentences(),
            "",
            "| Commitment | US$ an hour a unit | US$ a month | Owed at once |",
            "| --- | ---: | ---: | ---: |",
            *(
                f"| {one.commitment or 'none'} | {one.usd_per_unit_hour:,.2f} | "
                f"{one.monthly:,.2f} | {one.committed:,.2f} |"
                for one in known
            ),
        ]
    else:
        lines.append("Unknown; see below.")
    lines += [
        "",
        "## By hand",
        "```sh",
        f"aws bedrock create-provisioned-model-throughput {region} --cli-input-json file://{FILE}",
        f"aws bedrock get-provisioned-model-throughput {region} --provisioned-model-id "
        f"{request.name}",
        f"aws bedrock delete-provisioned-model-throughput {region} --provisioned-model-id "
        f"{request.name}",
        "```",
        "A commitment cannot be deleted before its end.",
        "",
        "## To know",
        *(f"- {note}" for note in (*notes, *shipment.sizing.notes)),
        "",
    ]
    return "\n".join(lines)
