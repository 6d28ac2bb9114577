"""Three roles, each with what it needs and on which resource.

The execution role starts a container (image, secrets, log stream); the task role is what the
server itself may do (read its weights, ask the tiers it routes to); the instance role joins the
cluster.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from pilotage.ship.graph import Attribute, Join, Ref, Resource
from pilotage.ship.targets.aws_models import asking_statements
from pilotage.ship.targets.ecs.image import Image
from pilotage.ship.targets.ecs.layout import Layout
from pilotage.ship.targets.ecs.names import (
    CLUSTER,
    EXECUTION_ROLE,
    INSTANCE_PROFILE,
    INSTANCE_ROLE,
    LOGS,
    TASK_ROLE,
)
from pilotage.ship.targets.ecs.secrets import Secrets

METRICS_NAMESPACE = "CWAgent"
"""Where the CloudWatch agent of an instance writes."""


def roles(layout: Layout, image: Image, secrets: Secrets) -> tuple[Resource, ...]:
    """The roles of a deployment."""
    return (
        _role(
            EXECUTION_ROLE,
            "Starts the containers: pulls the image, reads the secrets, opens the log stream",
            "ecs-tasks",
            _execution_statements(layout, image, secrets),
        ),
        _role(
            TASK_ROLE,
            "What the server itself may do",
            "ecs-tasks",
            _task_statements(layout),
        ),
        _role(
            INSTANCE_ROLE,
            "Joins the cluster and reports the accelerators' load",
            "ec2",
            _instance_statements(layout),
        ),
        Resource(
            name=INSTANCE_PROFILE,
            type="AWS::IAM::InstanceProfile",
            properties={"Roles": [Ref(INSTANCE_ROLE)]},
        ),
    )


def weights_address(layout: Layout) -> str:
    """Where weights are fetched from."""
    return layout.shipping.weights_uri or layout.shipment.deployment.model.source


def _role(name: str, description: str, service: str, statements: list[dict[str, Any]]) -> Resource:
    trust: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"Service": f"{service}.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    if service == "ecs-tasks":
        # ECS acts for every customer: only for this account may it take the role.
        trust["Condition"] = {"StringEquals": {"aws:SourceAccount": Ref("AWS::AccountId")}}
    properties: dict[str, Any] = {
        "Description": description,
        "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
    }
    if statements:
        properties["Policies"] = [
            {
                "PolicyName": "needs",
                "PolicyDocument": {"Version": "2012-10-17", "Statement": statements},
            }
        ]
    return Resource(name=name, type="AWS::IAM::Role", properties=properties)


def _execution_statements(layout: Layout, image: Image, secrets: Secrets) -> list[dict[str, Any]]:
    statements = [
        _allow(
            "WriteLogs", ["logs:CreateLogStream", "logs:PutLogEvents"], [Attribute(LOGS, "Arn")]
        ),
        _allow("ReadSecrets", ["secretsmanager:GetSecretValue"], secrets.arns),
    ]
    if image.repository_arn is not None:
        statements += [
            # The one call of ECR that knows no resource; it reads nothing but a login.
            _allow("LogInToRegistry", ["ecr:GetAuthorizationToken"], ["*"]),
            _allow(
                "PullImage",
                [
                    "ecr:BatchCheckLayerAvailability",
                    "ecr:BatchGetImage",
                    "ecr:GetDownloadUrlForLayer",
                ],
                [image.repository_arn],
            ),
        ]
    return [*statements, *_decryption(layout, "DecryptSecrets", "secretsmanager")]


def _task_statements(layout: Layout) -> list[dict[str, Any]]:
    weights = _weights(layout)
    return [
        *weights,
        *(_decryption(layout, "DecryptWeights", "s3") if weights else ()),
        *asking_statements(layout.shipment),
    ]


def _decryption(layout: Layout, sid: str, service: str) -> list[dict[str, Any]]:
    """Using the given keys, through one service only: AWS's own keys need no statement."""
    keys = layout.shipping.kms_key_arns
    if not keys:
        return []
    through = Join((f"{service}.", Ref("AWS::Region"), ".", Ref("AWS::URLSuffix")))
    return [
        {
            **_allow(sid, ["kms:Decrypt"], list(keys)),
            "Condition": {"StringEquals": {"kms:ViaService": through}},
        }
    ]


def _weights(layout: Layout) -> list[dict[str, Any]]:
    source = urlsplit(weights_address(layout))
    if source.scheme != "s3":
        return []
    bucket = Join(("arn:", Ref("AWS::Partition"), f":s3:::{source.netloc}"))
    prefix = source.path.strip("/")
    listing = _allow("ListWeights", ["s3:ListBucket"], [bucket])
    if prefix:
        listing["Condition"] = {"StringLike": {"s3:prefix": [prefix, f"{prefix}/*"]}}
    objects = (
        [Join((bucket, f"/{prefix}")), Join((bucket, f"/{prefix}/*"))]
        if prefix
        else [Join((bucket, "/*"))]
    )
    return [_allow("ReadWeights", ["s3:GetObject"], objects), listing]


def _instance_statements(layout: Layout) -> list[dict[str, Any]]:
    cluster = Attribute(CLUSTER, "Arn")
    container_instances = Join(
        (
            "arn:",
            Ref("AWS::Partition"),
            ":ecs:",
            Ref("AWS::Region"),
            ":",
            Ref("AWS::AccountId"),
            f":container-instance/{layout.name}/*",
        )
    )
    statements = [
        # Tells where the agent's endpoint is, and knows no resource.
        _allow("FindEndpoint", ["ecs:DiscoverPollEndpoint"], ["*"]),
        _allow(
            "JoinCluster",
            [
                "ecs:DeregisterContainerInstance",
                "ecs:RegisterContainerInstance",
                "ecs:SubmitAttachmentStateChanges",
                "ecs:SubmitContainerStateChange",
                "ecs:SubmitTaskStateChange",
            ],
            [cluster],
        ),
        {
            **_allow(
                "TakeTasks",
                ["ecs:Poll", "ecs:StartTelemetrySession", "ecs:UpdateContainerInstancesState"],
                [container_instances],
            ),
            "Condition": {"ArnEquals": {"ecs:cluster": cluster}},
        },
    ]
    if layout.kind == "gpu":
        statements.append(
            {
                # The call knows no resource; the namespace is what it can be held to.
                **_allow("ReportLoad", ["cloudwatch:PutMetricData"], ["*"]),
                "Condition": {"StringEquals": {"cloudwatch:namespace": METRICS_NAMESPACE}},
            }
        )
    return statements


def _allow(sid: str, actions: list[str], resources: list[Any]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources}
