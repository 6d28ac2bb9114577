"""The matrix: every source against every fault. Verified bytes, or a clear error and nothing else.

A source is a `Subject` that starts a server (`Served`); a fault is a `Row` of `FAULTS`. What must
hold in every cell, whatever the fault, is in `outcome`: whole and verified bytes or an error for
people, nothing published after an error, no secret anywhere, no credential at another origin, and
a second fetch that goes well once the fault is gone. A row adds which of the two it must be.

To add a source, write a function that yields a `Served` and name it in `SUBJECTS`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hub_origin import TOKEN, Hub
from odd_origin import Answer, Blob, OddOrigin, after

from pilotage.errors import IntegrityError, PilotageError, SourceError
from pilotage.fetch import FetchedModel, fetch
from pilotage.fetch.http import Timeouts
from pilotage.fetch.retry import RetryPolicy
from pilotage.fetch.sources.network import Network
from pilotage.fetch.transfer import TransferOptions

PART = 60_000
SIGNATURE = "s1gnature"
SECRETS = (TOKEN, SIGNATURE, "sig-5ecret")
NETWORK = Network(
    timeouts=Timeouts(connect_s=0.3, idle_s=0.3, head_s=0.6),
    retry=RetryPolicy(attempts=3, base_s=0.01, cap_s=0.02, budget_s=3.0),
    transfer=TransferOptions(threads=3, stall_s=0.25, deadline_s=8.0, part_bytes=PART),
)
FILES = {"model.safetensors": Blob(200_000, seed=1), "tokenizer.json": Blob.of(b'{"a": "b"}')}
OTHER = Blob(200_000, seed=2)


@dataclass
class Served:
    """A source that is being served.

    Attributes:
        uri: What is fetched.
        files: What must arrive.
        first: Where the first call goes, and its kind there.
        data: Where the weights' bytes come from, and their kind there.
        change: Changes the weights under way; None where nothing can.
        restore: Undoes that.
        path: A pattern of the weights' path on the data origin.
        origins: All servers.
    """

    uri: str
    files: dict[str, Blob]
    first: tuple[OddOrigin, str]
    data: tuple[OddOrigin, str]
    change: Callable[[], None]
    restore: Callable[[], None]
    path: str = "*model.safetensors"
    origins: list[OddOrigin] = field(default_factory=list)


@contextmanager
def a_hub(monkeypatch: pytest.MonkeyPatch, *, cdn: bool = False) -> Iterator[Served]:
    with Hub(redirect_large=cdn) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        hub.add("org/model", {"config.json": b"{}", **FILES}, private=True)

        def swap(blob: Blob) -> None:
            for kept in list(hub._large):
                hub._large[kept] = blob
            hub.replace("org/model", "model.safetensors", blob)

        yield Served(
            "hf://org/model",
            {"config.json": Blob.of(b"{}"), **FILES},
            (hub.origin, "revision"),
            (hub.cdn, "blob") if cdn else (hub.origin, "file"),
            lambda: swap(OTHER),
            lambda: swap(FILES["model.safetensors"]),
            "*" if cdn else "*model.safetensors",
            origins=[hub.origin, hub.cdn],
        )


@contextmanager
def a_web_server(monkeypatch: pytest.MonkeyPatch, *, kind: str) -> Iterator[Served]:
    monkeypatch.setenv("PILOTAGE_FETCH_ALLOW", "127.0.0.1")
    weights = FILES["model.safetensors"]
    with Hub() as hub:
        hub.plain |= FILES
        listed = [{"path": p, "size": b.size, "sha256": b.sha256} for p, b in FILES.items()]
        hub.plain["manifest.json"] = Blob.of(json.dumps({"files": listed}).encode())
        name = "manifest.json" if kind == "manifest" else "model.safetensors"
        digest = f"#sha256={weights.sha256}" if kind == "digest" else ""
        yield Served(
            f"{hub.url}/plain/{name}?sig={SIGNATURE}{digest}",
            FILES if kind == "manifest" else {"model.safetensors": weights},
            (hub.origin, "plain"),
            (hub.origin, "plain"),
            lambda: hub.plain.update({"model.safetensors": OTHER}),
            lambda: hub.plain.update(FILES),
            origins=[hub.origin],
        )


SUBJECTS: dict[str, Callable[[pytest.MonkeyPatch], Any]] = {
    "hub": a_hub,
    "hub with a CDN": lambda monkeypatch: a_hub(monkeypatch, cdn=True),
    "https with a digest": lambda monkeypatch: a_web_server(monkeypatch, kind="digest"),
    "https manifest": lambda monkeypatch: a_web_server(monkeypatch, kind="manifest"),
    "https on trust": lambda monkeypatch: a_web_server(monkeypatch, kind="trust"),
}
QUICK = {"hub", "https with a digest"}
"""The subjects of the quick run, with the rows that take less than a second; the rest is slow."""

WHOLE, ERROR, EITHER = "whole", "error", "either"
LIMITS: dict[str, Callable[[], dict[str, str]]] = {
    "Retry-After in seconds": lambda: {"Retry-After": "1"},
    "Retry-After as a date": lambda: {"Retry-After": after(1)},
    "RateLimit": lambda: {"RateLimit": '"api";r=0;t=1', "RateLimit-Policy": '"api";q=500;w=300'},
    "X-RateLimit": lambda: {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"},
    "no header": dict,
}


@dataclass(frozen=True)
class Row:
    """A fault, when it happens, and what must come of it."""

    name: str
    do: str
    must: str
    at_first: bool = False
    rest: dict[str, Any] = field(default_factory=dict)
    error: type[PilotageError] = SourceError
    needs_promise: bool = False
    deadline_s: float | None = None
    slow: bool = False


def limit(name: str, make: Callable[[], dict[str, str]]) -> list[Row]:
    def rest() -> dict[str, Any]:
        return {"times": 1, "value": lambda: (429, make())}

    return [
        Row(f"429 with {name} on the first call", "status", WHOLE, at_first=True, rest=rest()),
        Row(f"429 with {name} under way", "status", WHOLE, rest=rest(), slow=bool(make())),
    ]


FAULTS = [
    *(row for name, make in LIMITS.items() for row in limit(name, make)),
    Row("429 for ever", "status", ERROR, rest={"value": (429, {})}, slow=True),
    Row("429 for an hour", "status", ERROR, rest={"value": (429, {"Retry-After": "3600"})}),
    Row("503 on open", "status", WHOLE, rest={"times": 2, "value": (503, {})}),
    Row("503 at first", "status", WHOLE, at_first=True, rest={"times": 2, "value": (503, {})}),
    Row("500 for ever", "status", ERROR, at_first=True, rest={"value": (500, {})}),
    Row("404 under way", "status", ERROR, rest={"value": (404, {})}),
    Row("403 under way", "status", ERROR, rest={"value": (403, {})}),
    Row("truncation", "truncate", WHOLE, rest={"times": 3}),
    Row("truncation for ever", "truncate", EITHER),
    Row("truncation at first", "truncate", WHOLE, at_first=True, rest={"times": 1}),
    Row("ignored Range", "no-ranges", WHOLE),
    Row("another range", "wrong-range", WHOLE, rest={"times": 1}),
    Row("another range for ever", "wrong-range", ERROR, slow=True),
    Row("corruption", "corrupt", WHOLE, rest={"times": 1, "at": 90_000}, needs_promise=True),
    Row(
        "corruption of one part for ever",
        "corrupt",
        ERROR,
        rest={"at": 90_000},
        error=IntegrityError,
        needs_promise=True,
    ),
    Row("corruption of all parts", "corrupt", ERROR, error=IntegrityError, needs_promise=True),
    Row("slow drip", "drip", ERROR, rest={"value": 0.05}, deadline_s=0.8),
    Row("stall", "stall", WHOLE, rest={"times": 1}),
    Row("stall for ever", "stall", EITHER, slow=True, deadline_s=3.0),
    Row("silence", "silent", WHOLE, rest={"times": 1}),
    Row("silence at first", "silent", WHOLE, at_first=True, rest={"times": 1}),
    Row("silence for ever", "silent", ERROR, slow=True),
    Row("reset", "reset", WHOLE, rest={"times": 2}),
    Row("closed", "close", WHOLE, rest={"times": 2}),
    Row("closed for ever", "close", ERROR, at_first=True),
    Row("no HTTP", "garbage", EITHER, rest={"times": 1}),
    Row("a captive proxy at first", "html", ERROR, at_first=True),
    Row("a captive proxy under way", "html", ERROR),
    Row("a changed file", "change", ERROR, rest={"times": 1, "skip": 1}),
    Row("a hostile ETag", "headers", WHOLE, rest={"value": {"ETag": '"../../../etc/passwd"'}}),
    Row("an ETag that is none", "headers", WHOLE, rest={"value": {"ETag": "../x\x01"}}),
    Row("no ETag", "headers", WHOLE, rest={"value": {"ETag": None}}),
    Row("compression", "headers", ERROR, rest={"value": {"Content-Encoding": "gzip"}}),
    Row("a false length", "headers", ERROR, rest={"value": {"Content-Length": "7"}}, slow=True),
    Row("a redirect to elsewhere", "redirect", ERROR, needs_promise=True),
    Row("a redirect to elsewhere at first", "redirect", ERROR, at_first=True, needs_promise=True),
    Row("a redirect to the metadata service", "redirect", ERROR),
    Row("redirects for ever", "redirect", ERROR),
]


def cells() -> Iterator[Any]:
    for subject in SUBJECTS:
        for row in FAULTS:
            if row.needs_promise and subject == "https on trust":
                continue  # nobody knows which bytes are right
            quick = (
                subject in QUICK and not row.slow and (subject == "hub" or "429" not in row.name)
            )
            marks = [] if quick else [pytest.mark.slow]
            yield pytest.param(subject, row, marks=marks, id=f"{subject}-{row.name}")


@pytest.fixture
def clean(monkeypatch, tmp_path):
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "PILOTAGE_FETCH_ALLOW"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize(("subject", "row"), list(cells()))
def test_whatever_the_fault(subject, row, home, monkeypatch, caplog):
    with SUBJECTS[subject](monkeypatch) as served, elsewhere() as stranger:
        switch_on(row, served, stranger)
        network = NETWORK
        if row.deadline_s is not None:
            options = replace(NETWORK.transfer, deadline_s=row.deadline_s)
            network = replace(NETWORK, transfer=options)
        found = outcome(served, home, network)
        if row.must is WHOLE:
            assert isinstance(found, FetchedModel), found
        elif row.must is ERROR:
            assert isinstance(found, row.error), found
        if row.error is IntegrityError:
            assert "model.safetensors" in str(found)
        assert stranger.secrets_seen() == []
        for origin in served.origins:
            if origin is not served.first[0]:
                assert origin.secrets_seen() == []
        for origin in served.origins:
            origin.faults.clear()
        served.restore()
        again = outcome(served, home, NETWORK)
        assert isinstance(again, FetchedModel), again
        for secret in SECRETS:
            assert secret not in caplog.text
            for path in home.rglob("*"):
                assert not path.is_file() or secret.encode() not in path.read_bytes()


def outcome(served: Served, home: Any, network: Network) -> FetchedModel | PilotageError:
    """Fetch, and check what must hold whether it went well or not."""
    try:
        model = fetch(served.uri, network=network)
    except PilotageError as error:
        assert error.message
        assert error.where
        said = str(error.as_dict()) + repr(error.__cause__) + repr(error.__context__)
        for secret in SECRETS:
            assert secret not in said
        models = home / "models"
        assert not models.exists() or list(models.iterdir()) == []
        return error
    folder = model.path if model.path.is_dir() else model.path.parent
    for path, blob in served.files.items():
        assert (folder / path).read_bytes() == blob.bytes()
    assert {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} == set(
        served.files
    )
    return model


def switch_on(row: Row, served: Served, stranger: OddOrigin) -> None:
    origin, kind = served.first if row.at_first else served.data
    rest = dict(row.rest)
    if callable(rest.get("value")):
        rest["value"] = rest["value"]()
    if row.do == "change":
        rest["value"] = served.change
    if row.do == "redirect":
        rest["value"] = {
            "a redirect to the metadata service": "http://169.254.169.254/latest/meta-data",
            "redirects for ever": lambda request: f"{origin.url}{request.path}?again",
        }.get(row.name, f"{stranger.url}/take-this")
    path = "*" if row.at_first else served.path
    origin.fault(row.do, on=kind, path=path, **rest)


@contextmanager
def elsewhere() -> Iterator[OddOrigin]:
    """Another origin, which has nothing that anybody wants and notes what it is sent."""
    wrong = Blob(200_000, seed=3)
    with OddOrigin(lambda request: Answer("other", body=wrong, ranges=True)) as origin:
        yield origin
