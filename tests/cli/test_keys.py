"""``pilotage keys`` as it is run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pilotage.cli.keys import app
from pilotage.errors import StoreError, UsageError
from pilotage.serve.keys import KeyStore

KEY = re.compile(r"plt_[a-z0-9]{8}_[A-Za-z0-9]{43}")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def run(*args: str, file: Path):
    return CliRunner().invoke(app, [args[0], *args[1:], "--file", str(file)])


def test_add_prints_the_key_alone_on_standard_output_and_says_it_is_the_only_time(
    file: Path,
) -> None:
    result = run("add", "--name", "ci", file=file)
    assert result.exit_code == 0, result.output
    assert KEY.fullmatch(result.stdout.strip())
    assert "not be shown again" in result.stderr
    assert str(file) in result.stderr
    key = KeyStore(file).authenticate(result.stdout.strip())
    assert key is not None
    assert key.name == "ci"


def test_add_with_everything_as_json(file: Path) -> None:
    result = run(
        "add", "--name", "batch", "--requests-per-minute", "60", "--tokens-per-minute", "10000",
        "--usd-per-day", "0.50", "--usd-per-month", "$12.5",
        "--scope", "inference", "--scope", "admin", "--json", file=file,
    )  # fmt: skip
    made = json.loads(result.stdout)
    key = KeyStore(file).authenticate(made["key"])
    assert key is not None
    assert key.id == made["id"]
    assert made["limits"] == {
        "requests_per_minute": 60,
        "tokens_per_minute": 10000,
        "usd_per_day": "0.50",
        "usd_per_month": "12.5",
    }
    assert key.limits.usd_per_day == Decimal("0.5")
    assert "0.50  12.5" in re.sub(r" {2,}", "  ", run("list", file=file).stdout)
    assert made["scopes"] == ["inference", "admin"]
    assert {"salt", "hash"}.isdisjoint(made)


def test_what_is_not_limited_is_null_in_json(file: Path) -> None:
    made = json.loads(run("add", "--name", "x", "--usd-per-day", "3", "--json", file=file).stdout)
    assert made["limits"] == {
        "requests_per_minute": None,
        "tokens_per_minute": None,
        "usd_per_day": "3",
        "usd_per_month": None,
    }
    assert json.loads(run("list", "--json", file=file).stdout)[0]["limits"] == made["limits"]


def test_list_shows_keys_and_no_secret(file: Path) -> None:
    issued = KeyStore(file).add("team [red] ünïcode")
    KeyStore(file).add("gone")
    KeyStore(file).revoke("gone")
    table = run("list", file=file).stdout
    assert issued.key.id in table
    assert "team [red] ünïcode" in table
    assert re.search(r"gone .*revoked \d{4}-\d\d-\d\d", table)
    for output in (table, run("list", "--json", file=file).stdout):
        assert issued.text not in output
        assert issued.text.split("_")[2] not in output
        assert "salt" not in output
        assert "hash" not in output


def test_a_list_of_no_keys_says_what_that_means(file: Path) -> None:
    assert "a server is open" in run("list", file=file).stdout
    assert json.loads(run("list", "--json", file=file).stdout) == []


def test_revoke_by_id_and_by_name(file: Path) -> None:
    by_id, by_name = KeyStore(file).add("a"), KeyStore(file).add("b")
    assert "Revoked the key 'a'" in run("revoke", by_id.key.id, file=file).stdout
    assert json.loads(run("revoke", "b", "--json", file=file).stdout)["revoked"]
    store = KeyStore(file)
    assert store.authenticate(by_id.text) is None
    assert store.authenticate(by_name.text) is None


def test_an_ambiguous_name_is_an_error_that_lists_the_ids(file: Path) -> None:
    ids = {KeyStore(file).add("team").key.id for _ in range(2)}
    result = run("revoke", "team", file=file)
    assert isinstance(result.exception, UsageError)
    assert all(key_id in str(result.exception) for key_id in ids)


@pytest.mark.parametrize(
    "args",
    [
        ["add"],
        ["add", "--name", "x", "--requests-per-minute", "0"],
        ["add", "--name", "x", "--tokens-per-minute", "-5"],
        ["add", "--name", "x", "--tokens-per-minute", "1e999"],
        ["add", "--name", "x", "--usd-per-day", "0"],
        ["add", "--name", "x", "--usd-per-day", "-1"],
        ["add", "--name", "x", "--usd-per-month", "1e3"],
        ["add", "--name", "x", "--usd-per-month", "NaN"],
        ["add", "--name", "x", "--usd-per-month", "9999999"],
        ["add", "--name", "x", "--scope", "root"],
        ["revoke"],
    ],
)
def test_wrong_arguments_make_no_key(args: list[str], file: Path) -> None:
    assert run(*args, file=file).exit_code == 2
    assert not file.exists()


def test_a_corrupt_file_is_an_error_and_is_left_as_it_is(file: Path) -> None:
    file.write_text("{")
    file.chmod(0o600)
    for args in (["add", "--name", "x"], ["list"], ["revoke", "x"]):
        result = run(*args, file=file)
        assert isinstance(result.exception, StoreError)
    assert file.read_text() == "{"


def test_without_a_file_option_keys_are_in_pilotages_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PILOTAGE_HOME", str(tmp_path / "home"))
    assert CliRunner().invoke(app, ["add", "--name", "x"]).exit_code == 0
    assert KeyStore(tmp_path / "home" / "keys.json").any_keys


def test_commands_run_at_the_same_time_lose_no_key(file: Path) -> None:
    program = "import sys; from pilotage.cli.keys import app; app(sys.argv[1:])"
    children = [
        subprocess.Popen(
            [sys.executable, "-c", program, "add", "--name", f"n{i}", "--file", str(file)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for i in range(4)
    ]
    texts = [child.communicate(timeout=60)[0].strip() for child in children]
    store = KeyStore(file)
    found = [store.authenticate(text) for text in texts]
    assert [key.name for key in found if key] == ["n0", "n1", "n2", "n3"]
