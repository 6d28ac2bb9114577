"""``pilotage models`` against the real API in front of a `FakeModelControl`."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from fake_control import FakeModelControl, loaded, steered, unloaded
from in_process import pilotage
from typer.testing import CliRunner, Result

from pilotage.cli.main import app
from pilotage.cli.models_client import AdminError
from pilotage.errors import ModelError, ResourceError, UsageError
from pilotage.serve.control import AliasTarget
from pilotage.serve.keys import KeyStore, Scope


@pytest.fixture
def control() -> FakeModelControl:
    return FakeModelControl.of(
        loaded("small"), unloaded("org/large"), unloaded("broken", state="failed", error="cut off")
    )


@pytest.fixture
def url(control: FakeModelControl, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.delenv("PILOTAGE_API_KEY", raising=False)
    with steered(control) as address:
        yield address


def models(*args: str, url: str) -> Result:
    return CliRunner().invoke(app, ["models", *args, "--url", url])


def said(*args: str, url: str) -> str:
    result = models(*args, url=url)
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.stdout


def refused(kind: type[Exception], *args: str, url: str) -> str:
    result = models(*args, url=url)
    assert type(result.exception) is kind, repr(result.exception)
    assert result.stdout == ""
    return str(result.exception)


def test_the_list(url: str) -> None:
    lines = said("list", url=url).splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "MODEL STATE ENGINE TASK RUNNING QUEUED LAST USED WHERE",
        "small ready openvino generate 1 2 12s ago worker 0 (cpu:0, 300MiB)",
        "org/large unloaded openvino generate 0 0 - -",
        "broken failed openvino generate 0 0 - cut off",
    ]


def test_the_list_as_json_is_what_the_server_says(url: str, control: FakeModelControl) -> None:
    listed = json.loads(said("list", "--json", url=url))
    assert [one["name"] for one in listed] == ["small", "org/large", "broken"]
    assert listed[0]["replicas"][0]["memory_bytes"] == 300 << 20


def test_load_and_unload(url: str, control: FakeModelControl) -> None:
    assert said("load", "org/large", url=url) == (
        "org/large is loaded: worker 0 (cpu:0, 300MiB).\n"
    )
    assert said("unload", "small", url=f"{url}/v1/") == "small is unloaded.\n"
    assert json.loads(said("load", "small", "--json", url=url))["state"] == "ready"
    assert control.asked == [("load", "org/large"), ("unload", "small"), ("load", "small")]


def test_aliases(url: str, control: FakeModelControl) -> None:
    assert said("alias", "list", url=url).startswith("No aliases.")
    assert said("alias", "set", "chat", "small", url=url) == "chat is now small.\n"
    answer = said("alias", "set", "chat", "small=90", "org/large=10", url=url)
    assert answer == "chat is now small (90.0%) and org/large (10.0%).\n"
    assert control.aliases() == {
        "chat": (AliasTarget("small", 90.0), AliasTarget("org/large", 10.0))
    }
    said("alias", "set", "team/chat", "small", url=url)
    assert [line.split() for line in said("alias", "list", url=url).splitlines()] == [
        ["ALIAS", "MODEL", "WEIGHT", "SHARE"],
        ["chat", "small", "90", "90.0%"],
        ["org/large", "10", "10.0%"],
        ["team/chat", "small", "1", "100.0%"],
    ]
    assert said("alias", "remove", "team/chat", url=url) == "Removed the alias team/chat.\n"
    listed = json.loads(said("alias", "list", "--json", url=url))
    assert [one["name"] for one in listed] == ["chat"]
    made = json.loads(said("alias", "set", "x", "small", "--json", url=url))
    assert made == {"name": "x", "targets": [{"model": "small", "weight": 1.0}]}
    gone = json.loads(said("alias", "remove", "x", "--json", url=url))
    assert gone == {"name": "x", "deleted": True}


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (["load", "smal"], "There is no model 'smal'. Did you mean 'small'?"),
        (["unload", "nobody"], "Models: small, org/large, broken"),
        (["load", ".."], "is no name"),
        (["load", ""], "is no name"),
        (["load", "a\ud800"], "no model"),
        (["alias", "set", "chat", "smal"], "Did you mean 'small'?"),
        (["alias", "set", "small", "org/large"], "the name of a model"),
        (["alias", "set", "a b", "small"], "no name for an alias"),
        (["alias", "set", "chat", "small=x"], "'x' is no weight"),
        (["alias", "set", "chat", "a=1=x"], "'x' is no weight"),
        (["alias", "set", "chat", "small="], "'' is no weight"),
        (["alias", "set", "chat", "small=0"], "'0' is no weight"),
        (["alias", "set", "chat", "small=-1"], "'-1' is no weight"),
        (["alias", "set", "chat", "small=inf"], "'inf' is no weight"),
        (["alias", "set", "chat", "small=1e9"], "less than or equal to 1000000"),
        (["alias", "set", "chat", "small", "small"], "named twice"),
        (["alias", "remove", "chat"], "There is no alias 'chat'"),
    ],
)
def test_what_the_user_got_wrong(
    url: str, control: FakeModelControl, args: list[str], hint: str
) -> None:
    assert hint in refused(UsageError, *args, url=url)
    assert control.asked == []
    assert control.aliases() == {}


def test_what_the_server_could_not_do(url: str, control: FakeModelControl) -> None:
    control.failure = ResourceError("it needs 9 GiB", hint="2 GiB are free.")
    message = refused(AdminError, "load", "org/large", url=url)
    assert "409: It needs 9 GiB. 2 GiB are free. Loaded are: small" in message
    control.failure = ModelError("cut off", where="m.gguf")
    assert "422: m.gguf: Cut off" in refused(AdminError, "load", "org/large", url=url)


def test_keys(control: FakeModelControl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = KeyStore(tmp_path / "keys.json")
    user = keys.add("user").text
    operator = keys.add("operator", scopes=(Scope.ADMIN,)).text
    monkeypatch.delenv("PILOTAGE_API_KEY", raising=False)
    file = tmp_path / "key"
    with steered(control, keys) as url:
        message = refused(AdminError, "list", url=url)
        assert "wants an API key of the scope admin" in message
        assert "PILOTAGE_API_KEY, or name its file" in message

        monkeypatch.setenv("PILOTAGE_API_KEY", user)
        message = refused(AdminError, "unload", "small", url=url)
        assert "the API key in PILOTAGE_API_KEY may not steer models" in message
        assert "`pilotage keys add --name NAME --scope admin`" in message

        file.write_text(f"{operator}\n")
        assert "small" in said("list", "--api-key-file", str(file), url=url)
        monkeypatch.setenv("PILOTAGE_API_KEY", f" {operator} ")
        assert "small" in said("list", url=url)

        file.write_text(operator[:-1] + "!")
        message = refused(AdminError, "list", "--api-key-file", str(file), url=url)
        assert f"refused the API key in {file}" in message
        assert operator[:-1] not in message
    assert control.asked == []


def test_key_files_that_hold_none(tmp_path: Path) -> None:
    file = tmp_path / "key"
    url = "http://127.0.0.1:1"
    assert "cannot be read" in refused(UsageError, "list", "--api-key-file", str(file), url=url)
    for content in (b"", b" \n", b"\xff\xfe", b"x" * 5000, b"two\nlines", b"a\x00b"):
        file.write_bytes(content)
        refused(UsageError, "list", "--api-key-file", str(file), url=url)


def test_addresses_without_a_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    message = refused(AdminError, "list", url=f"http://127.0.0.1:{port}")
    assert "no server answers there. Start one with `pilotage serve`" in message
    refused(UsageError, "list", url="ftp://x")
    refused(UsageError, "list", url="http://me:secret@127.0.0.1")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>hello</html>"),
        (200, b"[]"),
        (200, b'{"data": [{"name": 5}]}'),
        (200, b"[" * 100_000),
        (200, b"\xff"),
        (404, b"Not Found"),
        (404, b'{"detail": "Not Found"}'),
        (404, b'{"error": {"message": "no route", "code": "unknown_url"}}'),
        (500, b""),
    ],
)
def test_servers_without_an_admin_api(status: int, body: bytes) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Other)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        message = refused(AdminError, "list", url=f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert "no admin API" in message


def test_a_servers_words_do_not_steer_the_terminal(control: FakeModelControl, url: str) -> None:
    control.known["evil"] = unloaded("evil\x1b[2J", error="[red]bad\x07\n", state="failed")
    shown = said("list", url=url)
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "[red]bad" in shown


def test_exit_codes_of_the_command_itself(url: str) -> None:
    def code(*args: str) -> tuple[int, str]:
        done = pilotage("models", *args, "--url", url, environment={"PILOTAGE_API_KEY": ""})
        return done.returncode, done.stderr

    assert code("list") == (0, "")
    exit_code, error = code("load", "smal")
    assert exit_code == 2
    assert error.startswith(f"error: {url}: There is no model 'smal'. Did you mean 'small'?")
    assert error.count("\n") == 1
