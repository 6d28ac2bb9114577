"""What the container may do, and who may reach it."""

from __future__ import annotations

from typing import Any

from pilotage.ship.graph import Attribute, Join, Ref, Resource
from pilotage.ship.target import Shipment
from pilotage.ship.targets.aws_models import asking_statements
from pilotage.ship.targets.aws_parts import allow, arn, excepted, role, tag_list
from pilotage.ship.targets.sagemaker import names
from pilotage.ship.targets.sagemaker.image import Image


def execution_role(shipment: Shipment, image: Image, log_path: str) -> Resource:
    """The role that SageMaker takes for this endpoint: exactly its weights, image, logs, answers.

    Args:
        shipment: What is shipped.
        image: Which image is pulled.
        log_path: The log group's name.
    """
    statements = [
        *_image(image),
        *_logs(log_path),
        *_weights(shipment),
        *asking_statements(shipment),
    ]
    if shipment.target == "sagemaker-async":
        statements += _answers()
    if shipment.shipping.network.subnets:
        statements += _network()
    return role(
        names.ROLE,
        "sagemaker.amazonaws.com",
        f"What the endpoint {shipment.name} may do",
        statements,
        shipment,
        metadata=excepted(
            CKV_AWS_111="ecr:GetAuthorizationToken, ec2's network interfaces and "
            "cloudwatch:PutMetricData know no resources; the last is bound to SageMaker's "
            "namespaces",
            CKV_AWS_107="ecr:GetAuthorizationToken is how an image is pulled, and knows no "
            "resources",
        ),
    )


def security_group(shipment: Shipment) -> Resource:
    """Of the containers within a VPC: nobody reaches them but SageMaker, they reach HTTPS."""
    return Resource(
        name=names.SECURITY_GROUP,
        type="AWS::EC2::SecurityGroup",
        properties={
            "GroupDescription": f"Containers of {shipment.name}: no way in, HTTPS out",
            "VpcId": shipment.shipping.network.vpc_id,
            "SecurityGroupEgress": [
                {
                    "IpProtocol": "tcp",
                    "FromPort": 443,
                    "ToPort": 443,
                    "CidrIp": "0.0.0.0/0",
                    "Description": "S3, ECR, CloudWatch and the model's source",
                }
            ],
            "Tags": tag_list(shipment),
        },
    )


def _image(image: Image) -> list[dict[str, Any]]:
    repository = Join(
        (
            "arn:",
            Ref("AWS::Partition"),
            ":ecr:",
            image.region or Ref("AWS::Region"),
            ":",
            image.account or Ref("AWS::AccountId"),
            f":repository/{image.repository}",
        )
    )
    pull = [
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:GetDownloadUrlForLayer",
    ]
    return [
        allow("PullImage", pull, [repository]),
        # It reads nothing: a token that opens only what the statement above allows.
        allow("LogInToRegistry", ["ecr:GetAuthorizationToken"], ["*"]),
    ]


def _logs(path: str) -> list[dict[str, Any]]:
    group = arn("logs", f"log-group:{path}")
    streams = arn("logs", f"log-group:{path}:log-stream:*")
    namespaces = ["AWS/SageMaker", "/aws/sagemaker/Endpoints", "/aws/sagemaker/InferenceComponents"]
    return [
        allow("WriteLogs", ["logs:CreateLogStream", "logs:PutLogEvents"], [group, streams]),
        allow("FindLogs", ["logs:DescribeLogStreams"], [group]),
        allow(
            "WriteMetrics",
            ["cloudwatch:PutMetricData"],
            ["*"],
            condition={"StringEquals": {"cloudwatch:namespace": namespaces}},
        ),
    ]


def _weights(shipment: Shipment) -> list[dict[str, Any]]:
    uri = shipment.shipping.weights_uri
    if uri is None:
        return []
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    prefix = key.rstrip("/")
    objects = f"{bucket}/{prefix}/*" if prefix else f"{bucket}/*"
    return [
        allow("ReadWeights", ["s3:GetObject"], [_s3(objects)]),
        allow(
            "ListWeights",
            ["s3:ListBucket"],
            [_s3(bucket)],
            condition={"StringLike": {"s3:prefix": [prefix, f"{prefix}/*"] if prefix else ["*"]}},
        ),
        *_decryption(shipment),
    ]


def _decryption(shipment: Shipment) -> list[dict[str, Any]]:
    """Reading weights that a key of one's own encrypts, through S3 only."""
    keys = shipment.shipping.kms_key_arns
    if not keys:
        return []
    through = Join(("s3.", Ref("AWS::Region"), ".", Ref("AWS::URLSuffix")))
    condition = {"StringEquals": {"kms:ViaService": through}}
    return [allow("DecryptWeights", ["kms:Decrypt"], [*keys], condition=condition)]


def _answers() -> list[dict[str, Any]]:
    bucket = Attribute(names.OUTPUTS, "Arn")
    return [
        allow("ReadRequests", ["s3:GetObject"], [Join((bucket, "/requests/*"))]),
        allow("WriteAnswers", ["s3:PutObject"], [Join((bucket, "/answers/*"))]),
        allow("WriteFailures", ["s3:PutObject"], [Join((bucket, "/failures/*"))]),
        allow("ListRequests", ["s3:ListBucket"], [bucket]),
        allow("Tell", ["sns:Publish"], [Ref(names.SUCCESS), Ref(names.FAILURE)]),
    ]


def _network() -> list[dict[str, Any]]:
    """SageMaker's interfaces in the given subnets (SageMaker developer guide, host-vpc)."""
    return [
        allow(
            "MakeInterfaces",
            [
                "ec2:CreateNetworkInterface",
                "ec2:CreateNetworkInterfacePermission",
                "ec2:DeleteNetworkInterface",
                "ec2:DeleteNetworkInterfacePermission",
            ],
            [
                arn("ec2", "network-interface/*"),
                arn("ec2", "subnet/*"),
                arn("ec2", "security-group/*"),
            ],
        ),
        allow(
            "SeeNetwork",
            [
                "ec2:DescribeDhcpOptions",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeSubnets",
                "ec2:DescribeVpcs",
            ],
            ["*"],
        ),
    ]


def _s3(path: str) -> Join:
    return Join(("arn:", Ref("AWS::Partition"), f":s3:::{path}"))
