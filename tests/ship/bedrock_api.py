"""Bedrock's API of provisioned throughput over HTTP, as botocore's model describes it.

moto does not have it. What is asked is kept, request by request.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import unquote

ACCOUNT = "123456789012"


class BedrockApi:
    """The API while it is entered; what is created is in service after ``rounds`` questions."""

    def __init__(self, rounds: int = 2, state: str = "InService") -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.kept: dict[str, dict[str, Any]] = {}
        self.refuse: tuple[int, str, str] | None = None
        self._rounds, self._state = rounds, state
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def created(self) -> list[Any]:
        """The purchases that were asked for."""
        bought = ("POST", "/provisioned-model-throughput")
        return [body for method, path, body in self.asked if (method, path) == bought]

    def __enter__(self) -> BedrockApi:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        self.asked.append((method, path, body))
        if path == "/listTagsForResource":
            found = self._find(body["resourceARN"])
            return 200, {"tags": found["tags"] if found else []}
        if method == "POST" and path == "/provisioned-model-throughput":
            return self._create(body)
        name = path.removeprefix("/provisioned-model-throughput/")
        found = self._find(name)
        if found is None:
            return 404, {"__type": "ResourceNotFoundException", "message": f"no {name}"}
        if method == "DELETE":
            if self.refuse:
                status, kind, text = self.refuse
                return status, {"__type": kind, "message": text}
            self.kept = {key: one for key, one in self.kept.items() if one is not found}
            return 200, {}
        found["rounds"] -= 1
        if found["rounds"] < 0 and found["shown"]["status"] == "Creating":
            found["shown"]["status"] = self._state
            if self._state == "Failed":
                found["shown"]["failureMessage"] = "no capacity"
        return 200, found["shown"]

    def _create(self, body: Any) -> tuple[int, Any]:
        if self.refuse:
            status, kind, text = self.refuse
            return status, {"__type": kind, "message": text}
        name = body["provisionedModelName"]
        arn = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:provisioned-model/{'a' * 12}"
        model = body["modelId"]
        full = model if model.startswith("arn:") else _model_arn(model)
        self.kept[name] = {
            "rounds": self._rounds,
            "tags": body.get("tags", []),
            "shown": {
                "modelUnits": body["modelUnits"],
                "desiredModelUnits": body["modelUnits"],
                "provisionedModelName": name,
                "provisionedModelArn": arn,
                "modelArn": full,
                "desiredModelArn": full,
                "foundationModelArn": full,
                "status": "Creating",
                "creationTime": "2026-11-22T12:00:00Z",
                "lastModifiedTime": "2026-11-22T12:00:00Z",
                **(
                    {
                        "commitmentDuration": body["commitmentDuration"],
                        "commitmentExpirationTime": "2027-05-22T12:00:00Z",
                    }
                    if "commitmentDuration" in body
                    else {}
                ),
            },
        }
        return 201, {"provisionedModelArn": arn}

    def _find(self, name: str) -> dict[str, Any] | None:
        for key, one in self.kept.items():
            if name in (key, one["shown"]["provisionedModelArn"]):
                return one
        return None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                status, answer = api.answer(self.command, unquote(self.path), body)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                if "__type" in answer:
                    self.send_header("x-amzn-ErrorType", answer["__type"])
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = _serve  # noqa: N815 - the base class's names

            def log_message(self, *args: Any) -> None:
                del args

        return Handler


def _model_arn(model: str) -> str:
    return f"arn:aws:bedrock:us-east-1::foundation-model/{model}"
