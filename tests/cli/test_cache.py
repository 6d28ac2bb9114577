"""``pilotage cache`` as it is run."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pilotage.cli.cache import app
from pilotage.errors import IntegrityError, UsageError
from pilotage.fetch import FileEntry, Manifest, Store

DAY = 24 * 3600.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two models of 100,000 bytes; the older one was used 40 days ago."""
    store = Store(tmp_path / "home")
    for source, days in (("hf://org/old@1", 40), ("hf://org/new@1", 0)):
        data = os.urandom(100_000)
        with store.stage(source) as staging:
            (staging.files / "w").write_bytes(data)
            entry = FileEntry("w", len(data), hashlib.sha256(data).hexdigest())
            store.publish(staging, Manifest(source, "1", (entry,)))
        then = time.time() - days * DAY
        os.utime(store.folder(source) / "READY", (then, then))
    return store


def run(store: Store, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--home", str(store.home)])


def damage(store: Store) -> None:
    (store.folder("hf://org/old@1") / "files" / "w").write_bytes(bytes(100_000))


def test_list_has_a_line_a_model_the_last_used_first(store: Store) -> None:
    done = run(store, "list")
    head, new, old = done.stdout.splitlines()
    assert head.split() == ["NAME", "SIZE", "SHARED", "LAST", "USED", "KEPT", "SOURCE"]
    assert new.split()[0] == store.folder("hf://org/new@1").name
    assert new.endswith("hf://org/new@1")
    assert old.endswith("hf://org/old@1")
    assert "97.7KiB" in new


def test_list_as_json_holds_the_same_and_more(store: Store) -> None:
    listed = json.loads(run(store, "list", "--json").stdout)
    assert listed["home"] == str(store.home)
    new, old = listed["revisions"]
    assert (new["source"], old["source"]) == ("hf://org/new@1", "hf://org/old@1")
    assert old["path"] == str(store.folder("hf://org/old@1"))
    assert (old["size"], old["shared"], old["pinned"], old["in_use"]) == (100_000, 0, False, False)
    assert new["last_used"] - old["last_used"] > 39 * DAY
    assert listed["unfinished"] == []


def test_an_empty_cache_says_where_it_looked(tmp_path: Path) -> None:
    done = run(Store(tmp_path / "none"), "list")
    assert done.stdout == f"No models in {tmp_path / 'none'}.\n"


def test_unfinished_downloads_are_listed(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt), store.stage("hf://org/x@1", resume=True) as staging:
        (staging.files / "w").write_bytes(b"x")
        assert "going on" in run(store, "list").stdout
        raise KeyboardInterrupt
    assert "broken off; fetching it again goes on from there" in run(store, "list").stdout
    (one,) = json.loads(run(store, "list", "--json").stdout)["unfinished"]
    assert one["abandoned"]


def test_verify_says_ok_and_moves_away_what_is_not(store: Store) -> None:
    done = run(store, "verify")
    assert done.exit_code == 0
    assert done.stdout.count(": ok\n") == 2
    damage(store)
    done = run(store, "verify")
    assert isinstance(done.exception, IntegrityError)
    assert "1 of 2 models were damaged" in str(done.exception)
    assert "damaged: w; moved to" in done.stdout
    assert len(json.loads(run(store, "list", "--json").stdout)["revisions"]) == 1


def test_verify_as_json_tells_by_its_exit_code_too(store: Store) -> None:
    damage(store)
    done = run(store, "verify", "--json")
    assert done.exit_code == 1
    assert [one["damaged"] for one in json.loads(done.stdout)] == [[], ["w"]]
    assert run(store, "verify", "--json").exit_code == 0


def test_prune_says_what_it_would_remove_and_then_removes_it(store: Store) -> None:
    name = store.folder("hf://org/old@1").name
    done = run(store, "prune", "--older-than", "30d", "--dry-run")
    assert f"would remove {name}\n" in done.stdout
    assert store.open("hf://org/old@1")
    done = run(store, "prune", "--older-than", "30d")
    assert f"removed {name}\n" in done.stdout
    assert done.stdout.endswith("freed\n")
    assert store.open("hf://org/old@1") is None
    assert store.open("hf://org/new@1")


def test_prune_as_json(store: Store) -> None:
    done = run(store, "prune", "--max-size", "150KB", "--json")
    pruned = json.loads(done.stdout)
    assert pruned["revisions"] == [store.folder("hf://org/old@1").name]
    assert pruned["freed"] >= 100_000
    assert (pruned["leftovers"], pruned["met"], pruned["dry_run"]) == ([], True, False)


def test_prune_that_may_not_remove_enough_says_so(store: Store) -> None:
    run(store, "pin", "hf://org/old@1")
    run(store, "pin", "org-new")
    done = run(store, "prune", "--max-size", "1KB", "--keep-free", "1GB")
    assert done.exit_code == 0
    assert "pinned or in use" in done.stderr
    assert store.open("hf://org/old@1")


def test_prune_refuses_what_is_no_size(store: Store) -> None:
    done = run(store, "prune", "--keep-free", "20 apples")
    assert isinstance(done.exception, UsageError)
    assert store.open("hf://org/old@1")


def test_pin_and_unpin(store: Store) -> None:
    name = store.folder("hf://org/old@1").name
    assert run(store, "pin", "org-old").stdout == f"Pinned {name}.\n"
    assert "pinned" in run(store, "list").stdout
    assert json.loads(run(store, "unpin", name, "--json").stdout)["pinned"] is False
    done = run(store, "pin", "nothing")
    assert isinstance(done.exception, UsageError)
    assert name in str(done.exception)
