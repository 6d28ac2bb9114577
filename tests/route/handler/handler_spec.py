"""A spec with two tiers in front of two model servers."""

from __future__ import annotations

import json
from typing import Any

from handler_models import ModelServer

HELLO = {"messages": [{"role": "user", "content": "Hi, what is the secret of Grüße?"}]}
# The model servers say that a prompt has 10 tokens and an answer 3.
SMALL_COST, LARGE_COST = "0.000016", "0.00016"


def spec(small: ModelServer, large: ModelServer, **more: Any) -> str:
    """A forced cascade, without further attempts; `more` goes into ``routing``."""
    tiers = [
        {
            "name": name,
            "backends": [{"kind": "openai", "url": server.url, "model": name}],
            "price": {"input": price, "output": 2 * price},
            "retries": 0,
        }
        for name, server, price in (("small", small, 1), ("large", large, 10))
    ]
    routing = {"tiers": tiers, "policy": "cascade", "force": True, "max_history": 3, **more}
    return json.dumps({"name": "test", "routing": routing})


def error_of(response: dict[str, Any], status: int) -> dict[str, Any]:
    """The error in a response, which is in its kind's form and shows nothing of the inside."""
    assert "Traceback" not in json.dumps(response)
    assert "secret" not in json.dumps(response)
    if "statusCode" in response:
        assert response["statusCode"] == status
        assert response["headers"]["content-type"] == "application/json"
        error: dict[str, Any] = json.loads(response["body"])["error"]
    else:
        error = response["error"]
        assert error["status"] == status
    assert error["message"].endswith(".")
    return error
