"""The ``shipping:`` section: where a deployment runs, in which network, and how it scales."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from pilotage.spec.fields import Duration, LocalPath, Section

TargetName = Literal[
    "ecs",
    "sagemaker",
    "sagemaker-async",
    "lambda-bedrock",
    "bedrock-provisioned",
    "kubernetes",
    "kserve",
    "terraform",
    "local",
]

_SECRET = re.compile(
    r"arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]{1,512}"
    r"(:[^:\s]*:[^:\s]*:[^:\s]*)?",
    re.ASCII,
)
_KMS_KEY = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]{1,256}", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
_ARN = r"^arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:[0-9]*:.{1,1024}$"


class NetworkSpec(Section):
    """Where it listens, and who reaches it."""

    vpc_id: str | None = Field(
        default=None,
        pattern="^vpc-[0-9a-f]{8,17}$",
        description="VPC to use. A new one with two public and two private subnets if not given.",
    )
    subnets: tuple[str, ...] = Field(
        default=(),
        strict=False,
        max_length=16,
        description="Subnets of that VPC for instances and tasks, in two zones at least.",
    )
    load_balancer_subnets: tuple[str, ...] = Field(
        default=(),
        strict=False,
        max_length=16,
        description="Subnets for the load balancer. Those of the instances if not given.",
    )
    public: bool = Field(
        default=False, description="Whether the load balancer has an address on the internet."
    )
    allowed_cidrs: tuple[str, ...] = Field(
        default=(),
        strict=False,
        max_length=64,
        description="Who may reach the load balancer. The VPC itself if not given.",
    )
    certificate_arn: str | None = Field(
        default=None,
        pattern=_ARN,
        description="ACM certificate for HTTPS. Without one it is plain HTTP, which is said aloud.",
    )


class ScalingSpec(Section):
    """How the number of replicas follows the load."""

    min: int = Field(default=1, ge=0, le=10_000, description="Fewest replicas; 0 where it can be.")
    max: int | None = Field(
        default=None, ge=1, le=10_000, description="Most replicas. The plan's number if not given."
    )
    metric: Literal["p90_latency", "queue", "tokens_in_flight", "requests", "gpu", "none"] = Field(
        default="queue",
        description="What target tracking holds: the 90th percentile of the latency, requests "
        "waiting a replica, tokens in flight a replica, requests a minute a replica, GPU "
        "utilisation in percent; none never scales.",
    )
    target: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="The value that is held: seconds for p90_latency. Derived from SLO and plan "
        "if not given.",
    )
    scale_in_cooldown: Duration = Field(
        default=900.0, ge=0, le=3600, description="Least time between two steps down."
    )
    scale_out_cooldown: Duration = Field(
        default=60.0, ge=0, le=3600, description="Least time between two steps up."
    )
    spot_share: float = Field(
        default=0.0, ge=0, le=1, description="Share of the replicas above the base on spot."
    )
    on_demand_base: int = Field(
        default=1, ge=0, le=10_000, description="Replicas that are never on spot."
    )

    @model_validator(mode="after")
    def _ordered(self) -> ScalingSpec:
        if self.max is not None and self.max < self.min:
            raise PydanticCustomError(
                "scaling_order",
                "should be at least min, {low}, got {high}",
                {"low": self.min, "high": self.max, "path": ("max",)},
            )
        return self


class ImageSpec(Section):
    """Which image runs, and how it is built."""

    uri: str | None = Field(
        default=None,
        max_length=512,
        description="Image to run, with a digest (@sha256:…). A repository of its own in ECR, to "
        "which the rendered Dockerfile is pushed, if not given.",
    )
    engine: Literal["auto", "cpu", "cuda", "neuron"] = Field(
        default="auto", description="Which Dockerfile; auto follows the plan."
    )


class AlarmsSpec(Section):
    """Who is told, and when."""

    topic_arn: str | None = Field(
        default=None, pattern=_ARN, description="SNS topic. Alarms without an action if not given."
    )
    usd_per_day: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Spend that is too much. 1.5 times the predicted if not given.",
    )
    gpu_idle: float = Field(
        default=30.0, ge=0, le=100, description="GPU utilisation in percent that is too little."
    )


class ShippingSpec(Section):
    """Where a deployment runs."""

    target: TargetName | None = Field(
        default=None, description="Which platform. That of the plan's strategy if not given."
    )
    region: str = Field(
        default="us-east-1", pattern="^[a-z]{2}(-[a-z]+)+-[0-9]$", description="AWS region."
    )
    account: str | None = Field(
        default=None, pattern="^[0-9]{12}$", description="AWS account it must go to."
    )
    network: NetworkSpec = Field(default=NetworkSpec(), description="Network and access.")
    image: ImageSpec = Field(default=ImageSpec(), description="The container image.")
    scaling: ScalingSpec = Field(default=ScalingSpec(), description="How it follows the load.")
    alarms: AlarmsSpec = Field(default=AlarmsSpec(), description="Alarms.")
    rollout: Literal["spare", "downtime"] = Field(
        default="spare",
        description="spare: new tasks start beside the old ones, which needs spare capacity; "
        "downtime: the old ones go first (0/100), which needs none.",
    )
    weights_uri: str | None = Field(
        default=None,
        pattern="^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?$",
        description="Where weights are fetched from. The model's own source if not given.",
    )
    keys_secret_arn: str | None = Field(
        default=None, pattern=_ARN, description="Secret that holds the file of API keys."
    )
    hub_token_secret_arn: str | None = Field(
        default=None, pattern=_ARN, description="Secret that holds HF_TOKEN, for gated models."
    )
    secrets: dict[str, str] = Field(
        default={},
        description="Further secrets, by the variable that the server gets: a tier's api_key_env, "
        "the ledger's url_env. ARNs of Secrets Manager; ARN:KEY:: takes one key of a JSON secret.",
    )
    kms_key_arns: tuple[str, ...] = Field(
        default=(),
        strict=False,
        max_length=16,
        description="Customer-managed KMS keys that the given secrets and weights are encrypted "
        "with: what reads those may decrypt with these. None are AWS's own keys.",
    )
    grace: Duration | None = Field(
        default=None,
        gt=0,
        description="Time to fetch and load before a health check counts. Predicted, with a "
        "margin, if not given.",
    )
    namespace: str = Field(
        default="default",
        pattern="^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
        description="Kubernetes namespace.",
    )
    output: LocalPath | None = Field(
        default=None, description="Folder of what is rendered. ship/NAME if not given."
    )
    tags: dict[str, str] = Field(default={}, description="Further tags of everything made.")

    @field_validator("tags")
    @classmethod
    def _own_tags_are_ours(cls, tags: dict[str, str]) -> dict[str, str]:
        for name in tags:
            if name.lower().startswith(("pilotage:", "aws:")):
                raise ValueError(f'"{name}" is not yours to set')
        return tags

    @field_validator("secrets")
    @classmethod
    def _named_and_by_arn(cls, secrets: dict[str, str]) -> dict[str, str]:
        for name, arn in secrets.items():
            if not _VARIABLE.fullmatch(name):
                raise ValueError(f'"{name[:80]}" is no name of a variable')
            if name.upper().startswith(("PILOTAGE_", "AWS_")):
                raise ValueError(f'"{name}" is set by Pilotage or by AWS')
            if not _SECRET.fullmatch(arn):
                # Not repeated: somebody may have written the secret itself.
                raise ValueError(
                    f"the value of {name} is no ARN of a secret in Secrets Manager "
                    "(arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-SUFFIX)"
                )
        return secrets

    @field_validator("kms_key_arns")
    @classmethod
    def _keys_by_arn(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        for arn in keys:
            if not _KMS_KEY.fullmatch(arn):
                raise ValueError(
                    f'"{arn[:200]}" is no ARN of a key (arn:aws:kms:REGION:ACCOUNT:key/ID)'
                )
        return keys
