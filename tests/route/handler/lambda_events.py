"""Events as AWS documents them, for a method, a path and a body."""

from __future__ import annotations

import base64
import json
from typing import Any


def function_url(
    path: str = "/v1/chat/completions",
    body: Any = None,
    *,
    method: str = "POST",
    headers: dict[str, str] | None = None,
    encoded: bool = False,
) -> dict[str, Any]:
    """Payload format 2.0, as a function URL sends it."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json", **(headers or {})},
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "abcdefghij",
            "domainName": "abcdefghij.lambda-url.eu-west-1.on.aws",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "test",
            },
            "requestId": "r-1",
            "routeKey": "$default",
            "stage": "$default",
            "timeEpoch": 1700000000000,
        },
        **_body(body, encoded),
    }


def http_api(
    path: str = "/v1/chat/completions", body: Any = None, *, stage: str = "$default", **more: Any
) -> dict[str, Any]:
    """Payload format 2.0, as an HTTP API sends it: the path begins with the stage."""
    event = function_url(path if stage == "$default" else f"/{stage}{path}", body, **more)
    event["requestContext"]["domainName"] = "abcdefghij.execute-api.eu-west-1.amazonaws.com"
    event["requestContext"]["stage"] = stage
    return event


def rest_api(
    path: str = "/v1/chat/completions",
    body: Any = None,
    *,
    method: str = "POST",
    headers: dict[str, str] | None = None,
    encoded: bool = False,
) -> dict[str, Any]:
    """Payload format 1.0, as a REST API sends it."""
    sent = {"Content-Type": "application/json", **(headers or {})}
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": sent,
        "multiValueHeaders": {name: [value] for name, value in sent.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {"proxy": path.lstrip("/")},
        "stageVariables": None,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abcdefghij",
            "httpMethod": method,
            "path": f"/prod{path}",
            "protocol": "HTTP/1.1",
            "requestId": "r-1",
            "stage": "prod",
            "identity": {"sourceIp": "192.0.2.1"},
        },
        **_body(body, encoded),
    }


def _body(body: Any, encoded: bool) -> dict[str, Any]:
    if body is None:
        return {"isBase64Encoded": False}
    text = body if isinstance(body, str) else json.dumps(body)
    if encoded:
        text = base64.b64encode(text.encode()).decode()
    return {"body": text, "isBase64Encoded": encoded}
