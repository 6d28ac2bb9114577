"""The key file: what is in it, who gets in, and what happens when it changes or breaks."""

from __future__ import annotations

import json
import logging
import os
import stat
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.errors import StoreError, UsageError
from pilotage.serve import key_file
from pilotage.serve.keys import KeyLimits, KeyStore, default_key_file, presented_key


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "keys.json"


def test_a_key_gets_in_and_nothing_else_does(path: Path) -> None:
    store = KeyStore(path)
    issued = store.add("ci", limits=KeyLimits(requests_per_minute=60))
    other = store.add("other")
    key = store.authenticate(issued.text)
    assert key == issued.key
    assert key is not None
    assert key.limits.requests_per_minute == 60
    assert key.scopes == ("inference",)
    wrong_secret = issued.text[:13] + other.text[13:]
    for presented in (
        None,
        "",
        "plt_",
        wrong_secret,
        issued.text.upper(),
        issued.text + "a",
        issued.text + "\n",
        " " + issued.text,
        issued.text.replace("plt_", "sk-"),
        f"plt_zzzzzzzz_{'0' * 43}",
        issued.text[:-1] + "é",
    ):
        assert store.authenticate(presented) is None


def test_the_file_holds_no_secret_and_is_the_owners_alone(path: Path) -> None:
    issued = KeyStore(path).add("ci")
    secret = issued.text.split("_")[2]
    assert len(secret) == 43
    assert secret not in path.read_text()
    assert secret[-4:] not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert secret not in repr(issued)
    assert [entry.name for entry in path.parent.iterdir() if "lock" not in entry.name] == [
        "keys.json"
    ]
    record = json.loads(path.read_text())["keys"][0]
    assert set(record) == {
        "id", "name", "created", "salt", "hash", "scopes", "limits", "revoked",
    }  # fmt: skip


def test_two_equal_secrets_would_not_have_equal_hashes(path: Path) -> None:
    store = KeyStore(path)
    for _ in range(20):
        store.add("same")
    records = json.loads(path.read_text())["keys"]
    for part in ("id", "salt", "hash"):
        assert len({record[part] for record in records}) == 20


def test_an_open_server_closes_with_the_first_key_and_stays_closed(path: Path) -> None:
    store = KeyStore(path)
    assert not store.any_keys
    issued = store.add("only")
    assert store.any_keys
    store.revoke("only")
    assert store.any_keys
    assert store.authenticate(issued.text) is None
    assert KeyStore(path).any_keys


def test_an_empty_file_is_no_keys(path: Path) -> None:
    path.parent.mkdir()
    path.touch(mode=0o600)
    assert not KeyStore(path).any_keys


def test_a_running_server_takes_up_changes_within_a_second(path: Path) -> None:
    clock = Clock()
    serving, admin = KeyStore(path, clock=clock), KeyStore(path)
    issued = admin.add("late")
    assert not serving.any_keys
    clock.now = 1.0
    assert serving.any_keys
    assert serving.authenticate(issued.text) == issued.key
    admin.revoke(issued.key.id)
    clock.now = 1.9
    assert serving.authenticate(issued.text) is not None  # not looked at more than once a second
    clock.now = 2.0
    assert serving.authenticate(issued.text) is None


def corrupt(path: Path) -> None:
    path.write_text('{"version": 1, "keys": [{"id"')


def empty(path: Path) -> None:
    path.write_text("")


def remove(path: Path) -> None:
    path.unlink()


def open_to_all(path: Path) -> None:
    path.chmod(0o666)
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize("harm", [corrupt, empty, remove, open_to_all])
def test_a_file_that_breaks_under_a_running_server_changes_nothing_and_is_told_once(
    harm, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    issued = KeyStore(path).add("ci")
    original = path.read_bytes()
    clock = Clock()
    serving = KeyStore(path, clock=clock)
    harm(path)
    with caplog.at_level(logging.ERROR):
        for second in range(1, 5):
            clock.now = float(second)
            assert serving.authenticate(issued.text) == issued.key
            assert serving.any_keys
    assert len(caplog.records) == 1
    assert str(path) in caplog.text
    path.unlink(missing_ok=True)
    path.write_bytes(original)
    path.chmod(0o600)
    KeyStore(path).revoke("ci")
    clock.now = 9.0
    assert serving.authenticate(issued.text) is None


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "\x00\x01",
        '{"version": 2, "keys": []}',
        '{"keys": [], "admin": true}',
        '{"keys": [{"id": "aaaaaaaa"}]}',
        '{"keys": [{"id": "AAAAAAAA", "name": "x", "created": "2026-01-01T00:00:00Z", '
        '"salt": "AAAA", "hash": "AAAA"}]}',
    ],
)
def test_a_server_does_not_start_with_a_file_it_cannot_read(path: Path, content: str) -> None:
    path.parent.mkdir()
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(StoreError, match="cannot be used") as caught:
        KeyStore(path)
    assert caught.value.where == str(path)


def test_a_record_that_is_there_twice_is_refused(path: Path) -> None:
    KeyStore(path).add("ci")
    content = json.loads(path.read_text())
    content["keys"] *= 2
    path.write_text(json.dumps(content))
    with pytest.raises(StoreError, match="the same id"):
        KeyStore(path)


def test_a_file_that_others_can_write_is_refused(path: Path) -> None:
    KeyStore(path).add("ci")
    path.chmod(0o620)
    with pytest.raises(StoreError, match="other users can write"):
        KeyStore(path)


def test_a_pipe_or_a_folder_in_the_files_place_is_refused_and_not_waited_for(
    tmp_path: Path,
) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for place in (tmp_path / "pipe", tmp_path):
        with pytest.raises(StoreError, match="cannot be used"):
            KeyStore(place)


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be"):
        KeyStore(tmp_path / "file" / "keys.json").add("ci")


def test_a_full_disk_leaves_the_old_file_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    issued = KeyStore(path).add("ci")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(key_file.os, "fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        KeyStore(path).add("second")
    assert [key.name for key in KeyStore(path).all()] == ["ci"]
    assert KeyStore(path).authenticate(issued.text) is not None
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["keys.json", "keys.json.lock"]


def test_a_symbolic_link_stays_one(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    path.symlink_to(tmp_path / "real.json")
    KeyStore(path).add("ci")
    assert path.is_symlink()
    assert KeyStore(tmp_path / "real.json").any_keys


def test_revoking_by_name_wants_one_key(path: Path) -> None:
    store = KeyStore(path)
    first, second = store.add("team"), store.add("team")
    with pytest.raises(UsageError, match="2 keys are named 'team'") as caught:
        store.revoke("team")
    assert caught.value.hint is not None
    assert first.key.id in caught.value.hint
    assert second.key.id in caught.value.hint
    store.revoke(first.key.id)
    assert store.revoke("team").id == second.key.id  # the one that is left
    with pytest.raises(UsageError, match="revoked already"):
        store.revoke("team")
    with pytest.raises(UsageError, match="no key with the id or name 'nobody'"):
        store.revoke("nobody")


def test_an_id_goes_before_a_name(path: Path) -> None:
    store = KeyStore(path)
    first = store.add("first")
    store.add(first.key.id)
    assert store.revoke(first.key.id).name == "first"


@pytest.mark.parametrize("name", ["", "   ", "a\nb", "\x1b[31m", "x" * 65])
def test_names_that_would_break_a_list_are_refused(path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="printable"):
        KeyStore(path).add(name)
    assert not path.exists()


def test_many_processes_add_at_once_and_no_key_is_lost(path: Path) -> None:
    program = (
        "import sys, pathlib; from pilotage.serve.keys import KeyStore; "
        "s = KeyStore(pathlib.Path(sys.argv[1])); [s.add(sys.argv[2]) for _ in range(10)]"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", program, str(path), f"p{i}"]) for i in range(4)
    ]
    assert [child.wait(60) for child in children] == [0] * 4
    names = [key.name for key in KeyStore(path).all()]
    assert sorted(names) == sorted(f"p{i}" for i in range(4) for _ in range(10))


def test_a_lock_held_too_long_is_an_error_not_a_hang(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_file, "LOCK_TIMEOUT_S", 0.1)
    with key_file.locked(path), pytest.raises(StoreError, match="held the lock"):
        KeyStore(path).add("ci")
    KeyStore(path).add("ci")


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({}, None),
        ({"authorization": "Bearer k"}, "k"),
        ({"authorization": "bEaReR   k "}, "k"),
        ({"authorization": "Bearer"}, None),
        ({"authorization": "Bearer "}, None),
        ({"authorization": "Basic k"}, None),
        ({"authorization": "k"}, None),
        ({"x-api-key": "k"}, "k"),
        ({"x-api-key": ""}, None),
        ({"authorization": "Basic a", "x-api-key": "k"}, "k"),
        ({"authorization": "Bearer a", "x-api-key": "k"}, "a"),
        ({"x-api-key": "k" * 512}, "k" * 512),
        ({"x-api-key": "k" * 513}, None),
        ({"authorization": "Bearer " + "k" * 100_000}, None),
    ],
)
def test_where_a_request_carries_its_key(headers: dict[str, str], key: str | None) -> None:
    assert presented_key(headers) == key


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> KeyStore:
    store = KeyStore(tmp_path_factory.mktemp("keys") / "keys.json")
    store.add("ci")
    return store


@given(st.one_of(st.text(), st.from_regex(r"plt_[a-z0-9]{8}_[A-Za-z0-9]{43}", fullmatch=True)))
@settings(max_examples=60, deadline=None)
def test_no_guess_gets_in(closed: KeyStore, presented: str) -> None:
    assert closed.authenticate(presented) is None


def test_the_default_file_lies_in_pilotages_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PILOTAGE_HOME", str(tmp_path))
    assert default_key_file() == tmp_path / "keys.json"


def test_a_file_of_a_version_without_dollars_still_loads_and_keeps_its_limits(path: Path) -> None:
    issued = KeyStore(path).add("old", limits=KeyLimits(requests_per_minute=5))
    content = json.loads(path.read_text())
    content["keys"][0]["limits"] = {"requests_per_minute": 5, "tokens_per_minute": None}
    path.write_text(json.dumps(content))
    key = KeyStore(path).authenticate(issued.text)
    assert key is not None
    assert key.limits == KeyLimits(requests_per_minute=5)


def test_a_file_without_dollar_limits_holds_no_word_that_older_versions_refuse(path: Path) -> None:
    KeyStore(path).add("a", limits=KeyLimits(tokens_per_minute=7))
    assert json.loads(path.read_text())["keys"][0]["limits"] == {"tokens_per_minute": 7}


@given(amount=st.decimals("0.000000000001", 1_000_000, places=12))
def test_dollar_limits_come_back_from_the_file_as_they_were(
    amount: Decimal, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    limits = KeyLimits(usd_per_day=amount, usd_per_month=Decimal("20.10"))
    issued = KeyStore(path).add("paid", limits=limits)
    key = KeyStore(path).authenticate(issued.text)
    assert key is not None
    assert key.limits == limits
    assert isinstance(json.loads(path.read_text())["keys"][0]["limits"]["usd_per_day"], str)


@pytest.mark.parametrize("amount", ["0", "-1", "NaN", "Infinity", "1000000.01", "ten"])
def test_dollar_limits_that_are_none_make_the_file_unusable(amount: str, path: Path) -> None:
    KeyStore(path).add("paid", limits=KeyLimits(usd_per_day=Decimal(1)))
    content = json.loads(path.read_text())
    content["keys"][0]["limits"]["usd_per_day"] = amount
    path.write_text(json.dumps(content))
    with pytest.raises(StoreError, match="key file cannot be used"):
        KeyStore(path)
