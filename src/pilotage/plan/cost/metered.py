"""What is paid by use: tokens, function seconds."""

from __future__ import annotations

from pilotage.catalog.prices import Price, PriceBook, UnknownPriceError
from pilotage.errors import UsageError
from pilotage.plan.cost.charges import Charge, charge
from pilotage.plan.cost.operation import Operation
from pilotage.plan.cost.traffic import (
    GIB,
    mean_request_bytes,
    mean_response_bytes,
    mean_tokens,
    requests_a_month,
)
from pilotage.plan.demand import Demand


def token_charges(demand: Demand, operation: Operation, prices: PriceBook) -> tuple[Charge, ...]:
    """Bedrock's tokens on demand.

    Images are paid as the prompt tokens they become, or by the image where there is such a price;
    where neither is known there is no bill.

    Raises:
        UnknownPriceError: A price, or what an image costs, is not known.
    """
    if operation.bedrock_id is None:
        raise UsageError("Bedrock's tokens need its id of the model")
    tokens = prices.bedrock_tokens(operation.bedrock_id)
    requests = requests_a_month(demand)
    prompt = mean_tokens(demand.prompt)
    charges: list[Charge] = []
    if demand.images and tokens.image is not None:
        charges.append(
            charge("images", tokens.image, (requests, "requests"), (demand.images, "images"))
        )
    elif demand.images:
        if operation.image_tokens is None:
            name = f"bedrock/{operation.bedrock_id}:image"
            raise UnknownPriceError(
                f"what an image costs with {operation.bedrock_id} is not known",
                name=name,
                hint=f"Pass --price {name}=AMOUNT, or say how many tokens an image becomes",
            )
        prompt += operation.image_tokens
    cached = prompt * operation.cached_share if tokens.cache_read is not None else 0.0
    charges.append(_tokens("prompt tokens", tokens.input, requests, prompt - cached))
    if cached and tokens.cache_read is not None:
        charges.append(_tokens("cached prompt tokens", tokens.cache_read, requests, cached))
    if tokens.output is not None:
        completion = mean_tokens(demand.completion)
        charges.append(_tokens("completion tokens", tokens.output, requests, completion))
    return tuple(charges)


def lambda_charges(demand: Demand, operation: Operation, prices: PriceBook) -> tuple[Charge, ...]:
    """A function that waits for the model's answer: requests and gigabyte-seconds."""
    requests = requests_a_month(demand)
    return (
        charge("Lambda requests", prices.price("lambda:request"), (requests, "requests")),
        charge(
            "Lambda seconds",
            prices.price("lambda:gb-second"),
            (requests, "requests"),
            (seconds_a_request(demand, operation), "s"),
            (operation.function_gb, "GB"),
        ),
    )


def serverless_charges(
    demand: Demand, operation: Operation, prices: PriceBook
) -> tuple[Charge, ...]:
    """SageMaker serverless inference: gigabyte-seconds of the function."""
    return (
        charge(
            "serverless seconds",
            prices.price("sagemaker-serverless:gb-second"),
            (requests_a_month(demand), "requests"),
            (seconds_a_request(demand, operation), "s"),
            (operation.function_gb, "GB"),
        ),
    )


def sagemaker_data(demand: Demand, operation: Operation, prices: PriceBook) -> Charge:
    """Requests and answers through a SageMaker endpoint."""
    moved = mean_request_bytes(demand, operation) + mean_response_bytes(
        demand, operation, streamed=False
    )
    return charge(
        "data through the endpoint",
        prices.price("sagemaker:gb"),
        (requests_a_month(demand), "requests"),
        (moved / GIB, "GB"),
    )


def seconds_a_request(demand: Demand, operation: Operation) -> float:
    """Mean seconds a request holds a function; the promised end-to-end latency bounds it.

    Raises:
        UnknownPriceError: Neither is known, so neither is the cost.
    """
    if operation.mean_e2e_s is not None:
        return operation.mean_e2e_s
    if demand.e2e_p99 is not None:
        return demand.e2e_p99
    raise UnknownPriceError(
        "what is paid by the second cannot be computed: how long a request takes is not known",
        hint="Pass --assume bedrock.e2e_mean=SECONDS (measure it with: pilotage prove), "
        "or promise slo.e2e_p99, which bounds it",
    )


def _tokens(name: str, price: Price, requests: float, tokens: float) -> Charge:
    return charge(name, price, (requests, "requests"), (tokens / 1e6, "Mtok"))
