"""The router as a Lambda function over models of Bedrock."""

from __future__ import annotations

from pilotage.ship.cloudformation import template
from pilotage.ship.graph import Attribute, Graph, Ref, Resource
from pilotage.ship.target import Rendered, Shipment
from pilotage.ship.targets.aws_models import REGIONS, model_ids
from pilotage.ship.targets.aws_parts import log_group
from pilotage.ship.targets.lambda_bedrock import names
from pilotage.ship.targets.lambda_bedrock.alarms import alarm_resources, spend_alarm
from pilotage.ship.targets.lambda_bedrock.checks import check, public
from pilotage.ship.targets.lambda_bedrock.function import (
    PARAMETERS,
    function,
    function_role,
    log_path,
    url,
)
from pilotage.ship.targets.lambda_bedrock.package import package_of
from pilotage.ship.targets.lambda_bedrock.readme import readme


class LambdaBedrockTarget:
    """AWS Lambda, with models of Amazon Bedrock (and SageMaker endpoints) behind the router."""

    def render(self, shipment: Shipment) -> Rendered:
        """Template, package and README of the function.

        Raises:
            UsageError: A function cannot do it; says which field, which limit, and the fix.
        """
        check(shipment)
        package = package_of(shipment)
        spend, spent = spend_alarm(shipment)
        resources: list[Resource] = [
            log_group(names.LOGS, log_path(shipment), shipment),
            function_role(shipment),
            function(shipment, package),
            *url(shipment),
            *alarm_resources(shipment),
        ]
        if spend is not None:
            resources.append(spend)
        outputs: dict[str, object] = {
            "Url": Attribute(names.URL, "FunctionUrl"),
            "FunctionName": Ref(names.FUNCTION),
            "LogGroup": Ref(names.LOGS),
        }
        if not public(shipment):
            outputs["CallersPolicy"] = Ref(names.CALLERS)
        graph = Graph(
            name=shipment.name,
            description=f"{shipment.deployment.name} on Lambda and Bedrock, by Pilotage",
            parameters=PARAMETERS,
            resources=tuple(resources),
            outputs=outputs,
        )
        notes = (*_notes(shipment), spent)
        warnings = _warnings(shipment)
        return Rendered(
            files={
                "template.yaml": template(graph),
                **package.files,
                "README.md": readme(shipment, package, notes, warnings),
            },
            graph=graph,
            notes=notes,
            warnings=warnings,
            extra={"package_key": package.key},
        )


def _notes(shipment: Shipment) -> tuple[str, ...]:
    found = [
        f"{max(1, shipment.sizing.max_replicas)} calls at once at most, reserved out of the "
        "account's 1,000: accounts whose quota is 10 have to ask for more first.",
        "Python's runtime answers in one piece: a streamed answer comes at its end, at most "
        "6,291,456 bytes of it.",
        "No dead-letter queue: calls are synchronous, the caller sees every error.",
    ]
    crossing = [one for one in model_ids(shipment) if one.partition(".")[0] in (*REGIONS, "global")]
    if crossing:
        found.append(
            f"Cross-region profiles ({', '.join(crossing)}): prompts may be answered in other "
            "regions of that part of the world; the role names the model in each of them."
        )
    if not public(shipment):
        found.append(
            "Callers sign with IAM (AWS_IAM) and need the policy in the output CallersPolicy."
        )
    return tuple(found)


def _warnings(shipment: Shipment) -> tuple[str, ...]:
    if not public(shipment):
        return ()
    return (
        "Everybody on the internet may call the function without a key, at your cost "
        "(shipping.network.public with allowed_cidrs of everybody): what bounds it is the "
        "reserved concurrency and the alarm on spend.",
    )
