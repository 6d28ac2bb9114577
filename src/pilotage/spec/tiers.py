"""Parts of the ``routing:`` section: tiers, the backends they are made of, and their prices."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from pilotage.spec.fields import Duration, Rate, Section

BackendKind = Literal["local", "openai", "bedrock", "sagemaker"]

_LARGEST: Final = Decimal(1_000_000)
_MONEY: Final = re.compile(r"\$?\d{1,7}(\.\d{1,12})?", re.ASCII)


def _as_money(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return value
    # The shortest text of a float is what was written: 1.52, not 1.52000000000000001776.
    text = format(Decimal(str(value)), "f") if isinstance(value, float) else str(value).strip()
    if not _MONEY.fullmatch(text):
        raise ValueError('should be an amount of US dollars from 0, such as 0.25 or "$0.25"')
    amount = Decimal(text.removeprefix("$"))
    if amount > _LARGEST:
        raise ValueError("should be at most 1000000 US dollars")
    return amount


Money = Annotated[
    Decimal,
    BeforeValidator(_as_money),
    PlainSerializer(str, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0},
                {"type": "string", "pattern": _MONEY.pattern},
            ],
            "examples": [0.25, "$1.10"],
        },
        mode="validation",
    ),
]
"""US dollars, exact."""


class TierPriceSpec(Section):
    """What a tier costs, where the price book does not say: by the token, or by the hour."""

    input: Money | None = Field(default=None, description="US dollars a million prompt tokens.")
    output: Money | None = Field(
        default=None, description="US dollars a million completion tokens."
    )
    cache_read: Money | None = Field(
        default=None,
        description="US dollars a million prompt tokens read from the provider's prompt cache. "
        "The input price if not given.",
    )
    cache_write: Money | None = Field(
        default=None,
        description="US dollars a million prompt tokens written to that cache. The input price if "
        "not given.",
    )
    image: Money | None = Field(
        default=None,
        description="US dollars an image, beside its tokens. Nothing if not given.",
    )
    request: Money | None = Field(
        default=None, description="US dollars a request. Nothing if not given."
    )
    hourly: Money | None = Field(
        default=None,
        description="US dollars an hour of what answers (instances, provisioned model units), "
        "shared out to its requests by their tokens.",
    )
    tokens_per_hour: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Tokens that an hour is expected to carry, prompt and completion; with hourly.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> TierPriceSpec:
        by_token = self.input is not None or self.output is not None
        by_hour = self.hourly is not None or self.tokens_per_hour is not None
        if by_token == by_hour:
            raise PydanticCustomError(
                "price_kind", "give input and output (by the token), or hourly and tokens_per_hour"
            )
        if by_token and (self.input is None or self.output is None):
            missing = "input" if self.input is None else "output"
            raise PydanticCustomError("price_half", "{name} is missing", {"name": missing})
        if by_hour and (self.hourly is None or self.tokens_per_hour is None):
            missing = "hourly" if self.hourly is None else "tokens_per_hour"
            raise PydanticCustomError("price_half", "{name} is missing", {"name": missing})
        return self


class BackendSpec(Section):
    """One place that answers for a tier."""

    kind: BackendKind = Field(
        default="local",
        description="local: a model of this server; openai: any OpenAI-compatible address; "
        "bedrock: Amazon Bedrock through Converse; sagemaker: a SageMaker endpoint.",
    )
    model: str | None = Field(
        default=None,
        min_length=1,
        max_length=2048,
        description="What the backend calls the model: its name, a Bedrock model id, inference "
        "profile or provisioned-throughput ARN. For local the server's first model if not given.",
    )
    url: str | None = Field(
        default=None,
        max_length=2048,
        pattern=r"^https?://",
        description="Base address of an OpenAI-compatible API, with its /v1.",
    )
    api_key_env: str | None = Field(
        default=None,
        pattern="^[A-Za-z_][A-Za-z0-9_]{0,127}$",
        description="Environment variable that holds the API key; the key itself is in no file.",
    )
    endpoint: str | None = Field(
        default=None,
        pattern="^[A-Za-z0-9](-*[A-Za-z0-9]){0,62}$",
        description="Name of the SageMaker endpoint.",
    )
    region: str | None = Field(
        default=None,
        pattern="^[a-z]{2}(-[a-z]+)+-[0-9]$",
        description="AWS region. That of the AWS environment if not given.",
    )
    weight: float = Field(
        default=1.0,
        ge=0,
        le=1e6,
        allow_inf_nan=False,
        description="Share of the tier's requests; 0 answers only when the others cannot.",
    )
    timeout: Duration = Field(
        default=120.0, gt=0, description="Longest time for an answer, from first to last byte."
    )
    first_token_timeout: Duration = Field(
        default=30.0, gt=0, description="Longest wait for the first token, retries apart."
    )
    max_concurrency: int = Field(
        default=256, ge=1, le=1_000_000, description="Requests in flight at once."
    )

    @model_validator(mode="after")
    def _has_address(self) -> BackendSpec:
        needs: dict[str, tuple[str, ...]] = {
            "local": (),
            "openai": ("url", "model"),
            "bedrock": ("model",),
            "sagemaker": ("endpoint",),
        }
        takes: dict[str, tuple[str, ...]] = {
            "local": ("model",),
            "openai": ("url", "model", "api_key_env"),
            "bedrock": ("model", "region"),
            "sagemaker": ("endpoint", "model", "region"),
        }
        for name in needs[self.kind]:
            if getattr(self, name) is None:
                raise PydanticCustomError(
                    "backend_needs",
                    "a {kind} backend needs {name}",
                    {"kind": self.kind, "name": name},
                )
        for name in ("model", "url", "api_key_env", "endpoint", "region"):
            if getattr(self, name) is not None and name not in takes[self.kind]:
                raise PydanticCustomError(
                    "backend_takes",
                    "a {kind} backend takes no {name}",
                    {"kind": self.kind, "name": name},
                )
        return self


class TierSpec(Section):
    """One level of quality and price: backends that stand in for one another."""

    name: str = Field(
        pattern="^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$",
        description="Name of the tier; clients may ask for it as a model.",
    )
    backends: tuple[BackendSpec, ...] = Field(
        strict=False,
        min_length=1,
        max_length=64,
        description="Who answers: they share the requests by weight and stand in for one another.",
    )
    price: TierPriceSpec | None = Field(
        default=None,
        description="What it costs. From the price book if not given; unknown prices are refused.",
    )
    provider: str | None = Field(
        default=None,
        max_length=64,
        description="The provider's id in genai-prices, to look prices up: openai, anthropic, "
        "groq … Guessed from the address if not given.",
    )
    retries: int = Field(
        default=2, ge=0, le=10, description="Further attempts after one that may be repeated."
    )
    rate: Rate | None = Field(
        default=None, gt=0, description="Most requests a second sent to it. No bound if not given."
    )
