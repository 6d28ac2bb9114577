"""The function, its role and its address."""

from __future__ import annotations

from typing import Any

from pilotage.ship.graph import Attribute, Join, Parameter, Ref, Resource
from pilotage.ship.target import Shipment
from pilotage.ship.targets.aws_models import asking_statements
from pilotage.ship.targets.aws_parts import allow, arn, checked_name, excepted, role, tag_list
from pilotage.ship.targets.lambda_bedrock import names
from pilotage.ship.targets.lambda_bedrock.checks import public, timeout_s
from pilotage.ship.targets.lambda_bedrock.package import HANDLER, RUNTIME, SPEC, Package

PARAMETERS = (
    Parameter(
        name=names.ENDPOINTS,
        type="String",
        default="chat",
        description="What the function answers: chat, moderate, or both with a comma between",
    ),
    Parameter(
        name=names.HISTORY,
        type="String",
        default="trim",
        description="Conversations beyond routing.max_history: trim leaves the oldest turns out "
        "and says how many, refuse is an error",
    ),
)


def log_path(shipment: Shipment) -> str:
    """The function's log group."""
    return f"/aws/lambda/{shipment.name}"


def bucket() -> Join:
    """Where the zip lies: a bucket of the account, by its number."""
    return Join(("pilotage-", Ref("AWS::AccountId"), "-", Ref("AWS::Region")))


def function_role(shipment: Shipment) -> Resource:
    """What the function may do: ask exactly the tiers' models, and write its own log."""
    group = arn("logs", f"log-group:{log_path(shipment)}")
    streams = arn("logs", f"log-group:{log_path(shipment)}:log-stream:*")
    statements = [
        allow("WriteLogs", ["logs:CreateLogStream", "logs:PutLogEvents"], [group, streams]),
        *asking_statements(shipment),
    ]
    return role(
        names.ROLE,
        "lambda.amazonaws.com",
        f"What the function {shipment.name} may do",
        statements,
        shipment,
    )


def function(shipment: Shipment, package: Package) -> Resource:
    """The router as a function."""
    properties: dict[str, Any] = {
        "FunctionName": checked_name(shipment, names.LONGEST_NAME, "the function"),
        "Description": f"{shipment.deployment.name}: Pilotage's router",
        "Role": Attribute(names.ROLE, "Arn"),
        "Architectures": ["x86_64"],
        **_code(shipment, package),
        "MemorySize": shipment.sizing.task_memory_mib,
        "Timeout": timeout_s(shipment),
        # The bound on what can be spent at once.
        "ReservedConcurrentExecutions": max(1, shipment.sizing.max_replicas),
        "Environment": {
            "Variables": {
                "PILOTAGE_SPEC": SPEC,
                "PILOTAGE_ENDPOINTS": Ref(names.ENDPOINTS),
                "PILOTAGE_HISTORY": Ref(names.HISTORY),
            }
        },
        "LoggingConfig": {"LogGroup": Ref(names.LOGS), "LogFormat": "Text"},
        "Tags": tag_list(shipment),
    }
    return Resource(
        name=names.FUNCTION,
        type="AWS::Lambda::Function",
        properties=properties,
        metadata=excepted(
            CKV_AWS_116="A dead-letter queue takes events of asynchronous calls; this function is "
            "called through its URL, synchronously, and the caller sees the error",
            CKV_AWS_117="It reaches nothing but AWS's own services, over TLS; a VPC would add a "
            "NAT gateway and keep nobody out",
            CKV_AWS_173="Its variables hold no secret; Lambda encrypts them with a key of its own",
            CKV_AWS_50="Every attempt is a line of the log with its times; traces would cost more "
            "than the function",
        ),
    )


def url(shipment: Shipment) -> tuple[Resource, ...]:
    """The address, and who may use it: callers signed by IAM, unless everybody was asked for."""
    everybody = public(shipment)
    found = [
        Resource(
            name=names.URL,
            type="AWS::Lambda::Url",
            properties={
                "TargetFunctionArn": Attribute(names.FUNCTION, "Arn"),
                "AuthType": "NONE" if everybody else "AWS_IAM",
                "InvokeMode": "BUFFERED",
            },
            metadata=(
                excepted(
                    CKV_AWS_258="The spec asks for it: network.public with allowed_cidrs of "
                    "0.0.0.0/0"
                )
                if everybody
                else {}
            ),
        )
    ]
    return (*found, *(_for_everybody() if everybody else (_callers(shipment),)))


def _callers(shipment: Shipment) -> Resource:
    """A policy to attach to those who may call it. URLs need both actions since October 2025."""
    target = [Attribute(names.FUNCTION, "Arn")]
    return Resource(
        name=names.CALLERS,
        type="AWS::IAM::ManagedPolicy",
        properties={
            "Description": f"May call {shipment.name} through its URL",
            "PolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [
                    allow(
                        "CallUrl",
                        ["lambda:InvokeFunctionUrl"],
                        [*target],
                        condition={"StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"}},
                    ),
                    allow(
                        "CallThroughUrlOnly",
                        ["lambda:InvokeFunction"],
                        [*target],
                        condition={"Bool": {"lambda:InvokedViaFunctionUrl": "true"}},
                    ),
                ],
            },
        },
    )


def _for_everybody() -> tuple[Resource, ...]:
    target = Attribute(names.FUNCTION, "Arn")
    return (
        Resource(
            name="EverybodyMayCallUrl",
            type="AWS::Lambda::Permission",
            properties={
                "FunctionName": target,
                "Action": "lambda:InvokeFunctionUrl",
                "Principal": "*",
                "FunctionUrlAuthType": "NONE",
            },
        ),
        Resource(
            name="EverybodyMayCallThroughUrl",
            type="AWS::Lambda::Permission",
            properties={
                "FunctionName": target,
                "Action": "lambda:InvokeFunction",
                "Principal": "*",
                "InvokedViaFunctionUrl": True,
            },
        ),
    )


def _code(shipment: Shipment, package: Package) -> dict[str, Any]:
    image = shipment.shipping.image.uri
    if image is not None:
        return {
            "PackageType": "Image",
            "Code": {"ImageUri": image},
            "ImageConfig": {"Command": [HANDLER]},
        }
    return {
        "PackageType": "Zip",
        "Runtime": RUNTIME,
        "Handler": HANDLER,
        "Code": {"S3Bucket": bucket(), "S3Key": package.key},
    }
