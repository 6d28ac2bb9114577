"""Which open models Bedrock offers, and under which id.

The table is ``data/bedrock_models.csv``: names of the Hugging Face Hub against Bedrock's model ids
(docs.aws.amazon.com/bedrock/latest/userguide/models-supported.html and the ids of genai-prices
0.2.3, 2026-11-22). Only models that genai-prices knows a price of are in
it. Whether one's own region has a model, and whether one's account may use it, AWS says.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType


def bedrock_id(model: str) -> str | None:
    """Bedrock's id of a model of the Hub; None when Bedrock does not sell it by the token.

    Args:
        model: "meta-llama/Llama-3.1-8B-Instruct", upper or lower case, ``hf://`` before it or not.
    """
    return _ids().get(model.removeprefix("hf://").strip("/").lower())


@cache
def _ids() -> Mapping[str, str]:
    text = (files("pilotage.catalog") / "data" / "bedrock_models.csv").read_text("utf-8")
    rows = csv.DictReader(text.splitlines())
    return MappingProxyType({row["model"].lower(): row["bedrock_id"] for row in rows})
