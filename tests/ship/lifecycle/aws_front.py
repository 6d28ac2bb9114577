"""A real moto over HTTP, with a door before it: what is asked is recorded, some is answered there.

moto lacks some calls, and cannot fail in AWS's ways; those answers come from here. Its warnings
that a resource type is not supported are collected: a stack that it calls complete may lack them.
"""

from __future__ import annotations

import io
import json
import logging
import os
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest import mock
from urllib.parse import parse_qsl

import yaml
from moto import backends
from moto.cloudformation import models, parsing, responses
from moto.core import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server


class _Loader(getattr(yaml, "CLoader", yaml.Loader)):  # type: ignore[misc]
    pass


# moto reads a template several times a request; libyaml does it in a tenth of the time.
_FAST_YAML = SimpleNamespace(
    **{name: value for name, value in vars(yaml).items() if not name.startswith("__")}
    | {
        "Loader": _Loader,
        "add_multi_constructor": partial(yaml.add_multi_constructor, Loader=_Loader),
    }
)

# Which services it has, looked up in its folder for every request otherwise.
_SERVICES = tuple(backends.list_of_moto_modules())

REGION = "us-east-1"
ACCOUNT = DEFAULT_ACCOUNT_ID

Answer = Callable[[dict[str, Any]], "Reply | None"]


@dataclass(frozen=True)
class Reply:
    """An answer in moto's place; None in its place lets moto answer."""

    body: str
    status: int = 200
    kind: str = "application/x-amz-json-1.1"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Request:
    action: str
    fields: dict[str, Any]


@dataclass
class Front:
    """The door.

    Attributes:
        asked: Every request, in order.
        answers: By action.
        unsupported: Resource types that moto left out.
    """

    app: Any
    asked: list[Request] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    unsupported: list[str] = field(default_factory=list)
    url: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """What makes it the endpoint."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def reset(self) -> None:
        """An empty AWS, and nothing asked yet."""
        asked = urllib.request.Request(f"{self.url}/moto-api/reset", method="POST")
        with urllib.request.urlopen(asked) as answer:
            answer.read()
        self.asked.clear()
        self.answers.clear()
        self.unsupported.clear()

    def actions(self) -> list[str]:
        return [one.action for one in self.asked]

    def of(self, action: str) -> list[dict[str, Any]]:
        return [one.fields for one in self.asked if one.action == action]

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        size = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(size)
        request = _read(environ, body)
        self.asked.append(request)
        answer = self.answers.get(request.action)
        reply = answer(request.fields) if answer is not None else None
        if reply is not None:
            text = reply.body.encode()
            start(f"{reply.status} X", [("Content-Type", reply.kind),
                                        ("Content-Length", str(len(text))),
                                        *reply.headers])  # fmt: skip
            return [text]
        environ["wsgi.input"] = io.BytesIO(body)
        return self.app(environ, start)  # type: ignore[no-any-return]

    def warned(self, message: object, *rest: object, **more: object) -> None:
        del rest, more
        self.unsupported.append(str(message))


def json_error(code: str, message: str = "no", status: int = 400) -> Answer:
    """An error of a JSON service."""
    return lambda _: Reply(json.dumps({"__type": code, "message": message}), status)


def query_error(code: str, message: str = "no", status: int = 400) -> Answer:
    """An error of a query service (CloudFormation, STS, EC2 …)."""
    text = (
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code>"
        f"<Message>{message}</Message></Error><RequestId>1</RequestId></ErrorResponse>"
    )
    return lambda _: Reply(text, status, "text/xml")


def quota(vcpus: float) -> Answer:
    """Every quota is this many vCPUs."""
    return lambda _: Reply(json.dumps({"Quota": {"Value": vcpus}}))


@contextmanager
def running_front() -> Iterator[Front]:
    """One for a while; `Front.environment` makes it the endpoint of a process."""
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    logging.getLogger("moto").setLevel(logging.CRITICAL)
    front = Front(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, front, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    front.url = f"http://127.0.0.1:{server.server_port}"
    try:
        with (
            mock.patch.object(parsing.warnings, "warn", front.warned),
            mock.patch.object(models, "yaml", _FAST_YAML),
            mock.patch.object(responses, "yaml", _FAST_YAML),
            # Thousands of images that nothing here asks for, made anew for every test.
            mock.patch.dict(os.environ, {"MOTO_EC2_LOAD_DEFAULT_AMIS": "false"}),
            mock.patch.object(backends, "list_of_moto_modules", lambda: _SERVICES),
        ):
            yield front
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def stack_xml(
    front: Front, status: str, *, name: str, tags: dict[str, str], stack_id: str | None = None
) -> Reply:
    """What DescribeStacks says of a stack in a state that moto cannot be in."""
    del front
    told = "".join(
        f"<member><Key>{key}</Key><Value>{value}</Value></member>" for key, value in tags.items()
    )
    where = stack_id or f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{name}/1"
    return Reply(
        "<DescribeStacksResponse><DescribeStacksResult><Stacks><member>"
        f"<StackId>{where}</StackId><StackName>{name}</StackName>"
        f"<StackStatus>{status}</StackStatus><CreationTime>2026-11-22T10:00:00Z</CreationTime>"
        f"<Tags>{told}</Tags></member></Stacks></DescribeStacksResult></DescribeStacksResponse>",
        kind="text/xml",
    )


def events_xml(*events: tuple[str, str, str, str]) -> Reply:
    """What DescribeStackEvents says, newest first: name, type, status, reason."""
    told = "".join(
        f"<member><EventId>{number}</EventId><StackId>s</StackId><StackName>s</StackName>"
        f"<LogicalResourceId>{name}</LogicalResourceId><ResourceType>{kind}</ResourceType>"
        f"<ResourceStatus>{status}</ResourceStatus>"
        f"<ResourceStatusReason>{reason}</ResourceStatusReason>"
        "<Timestamp>2026-11-22T10:00:00Z</Timestamp></member>"
        for number, (name, kind, status, reason) in enumerate(events)
    )
    return Reply(
        "<DescribeStackEventsResponse><DescribeStackEventsResult><StackEvents>"
        f"{told}</StackEvents></DescribeStackEventsResult></DescribeStackEventsResponse>",
        kind="text/xml",
    )


def _read(environ: dict[str, Any], body: bytes) -> Request:
    target = environ.get("HTTP_X_AMZ_TARGET")
    if target:
        return Request(target.rpartition(".")[2], json.loads(body or b"{}"))
    fields = dict(parse_qsl(body.decode("utf-8", "replace")))
    action = fields.get("Action") or f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
    return Request(action, fields)
