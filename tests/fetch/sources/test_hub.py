"""``hf://`` against a real local hub: what is asked of it, what is taken, and what is said."""

from __future__ import annotations

import json
import logging

import pytest
from hub_origin import STRANGER, TOKEN, Hub
from odd_origin import Blob

from pilotage.errors import PilotageError, SourceError
from pilotage.fetch import Phase, fetch, parse_source
from pilotage.fetch.http import Timeouts
from pilotage.fetch.retry import RetryPolicy
from pilotage.fetch.sources.hub import HubSource
from pilotage.fetch.sources.hub_token import HubToken
from pilotage.fetch.sources.network import Network
from pilotage.fetch.transfer import TransferOptions

MODEL = "hf://org/model"
WEIGHTS = Blob(300_000, seed=1)
FILES = {
    "config.json": b'{"model_type": "tiny"}',
    "LICENSE": b"Apache-2.0",
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": Blob(300_000, seed=2),
    "modeling.py": b"import os",
    "tokenizer.json": b"{}",
    "empty.txt": b"",
}
QUICK = Network(
    timeouts=Timeouts(connect_s=0.5, idle_s=0.5, head_s=1.0),
    retry=RetryPolicy(attempts=2, base_s=0.01, cap_s=0.02, budget_s=2.0),
    transfer=TransferOptions(stall_s=0.4, deadline_s=10.0),
)


@pytest.fixture
def hub(monkeypatch, tmp_path, home):
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "PILOTAGE_FETCH_ALLOW"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    with Hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.commit = hub.add("org/model", FILES)
        yield hub


def refusal(source=MODEL, **rest):
    with pytest.raises(PilotageError) as error:
        fetch(source, network=QUICK, **rest)
    assert TOKEN not in str(error.value.as_dict())
    assert STRANGER not in str(error.value.as_dict())
    return error.value


def test_a_model_is_fetched_whole_verified_and_once(hub):
    model = fetch(MODEL)
    arrived = {p.relative_to(model.path).as_posix() for p in model.path.rglob("*") if p.is_file()}
    assert arrived == {"config.json", "LICENSE", "model.safetensors", "tokenizer.json", "empty.txt"}
    assert (model.path / "model.safetensors").read_bytes() == WEIGHTS.bytes()
    assert model.manifest.id == hub.commit
    assert model.manifest.source == "hf://org/model@main"
    by_path = {file.path: file for file in model.manifest.files}
    assert by_path["model.safetensors"].sha256 == WEIGHTS.sha256
    assert by_path["config.json"].git_sha1 == Blob.of(FILES["config.json"]).git_sha1
    before = len(hub.origin.seen)
    assert fetch(MODEL).from_cache
    assert len(hub.origin.seen) == before


def test_progress_is_of_the_whole_model_and_only_goes_on(hub):
    told = []
    model = fetch(MODEL, progress=told.append)
    total = sum(file.size for file in model.manifest.files)
    assert {one.total for one in told} == {total}
    for phase in Phase:
        done = [one.done for one in told if one.phase is phase]
        assert done == sorted(done)
    assert told[-1].done == total


def test_resolving_costs_two_calls_and_none_a_file(hub):
    manifest = parse_source(MODEL).resolve()
    assert dict(hub.origin.requests) == {"revision": 1, "tree": 1}
    assert manifest.id == hub.commit
    assert {f.path: f.size for f in manifest.files}["model.safetensors"] == WEIGHTS.size


def test_a_long_listing_is_read_to_its_end(hub):
    hub.page = 3
    assert len(parse_source(MODEL).resolve().files) == 5
    assert hub.origin.requests["tree"] == 3


def test_two_revisions_share_what_is_the_same(hub):
    fetch(MODEL)
    first = len(hub.origin.seen)
    commit = hub.add("org/model", {**FILES, "config.json": b'{"v": 2}'}, ref="v2")
    model = fetch(f"{MODEL}@v2")
    assert model.manifest.id == commit
    asked = [request.path for _, request in hub.origin.seen[first:]]
    assert f"/org/model/resolve/{commit}/config.json" in asked
    assert f"/org/model/resolve/{commit}/model.safetensors" not in asked


@pytest.mark.parametrize(
    ("uri", "revision", "canonical"),
    [
        ("HF://org/model", None, "hf://org/model@main"),
        ("hf://org/model", "v1.0", "hf://org/model@v1.0"),
        ("hf://org/model@refs%2Fpr%2F1", None, "hf://org/model@refs%2Fpr%2F1"),
        ("hf://org/model", "refs/pr/1", "hf://org/model@refs%2Fpr%2F1"),
        ("hf://org/model/onnx", None, "hf://org/model@main#include=onnx"),
        ("hf://org/model@v1/*Q4_K_M.gguf", "v1", "hf://org/model@v1#include=*Q4_K_M.gguf"),
        ("hf://org/m#exclude=b&include=a%26", None, "hf://org/m@main#include=a%26&exclude=b"),
    ],
)
def test_uris_are_brought_to_one_form(uri, revision, canonical):
    source = parse_source(uri, revision=revision)
    assert source.uri == canonical
    assert parse_source(canonical) == source
    assert isinstance(source, HubSource)
    assert source.in_place is None


def test_a_revision_is_named_once():
    with pytest.raises(SourceError, match="names revision 'a' and the revision says 'b'"):
        parse_source("hf://org/model@a", revision="b")


def test_branches_commits_and_pull_requests_are_revisions(hub):
    other = hub.add("org/model", {"m.gguf": b"GGUF" * 9}, ref="refs/pr/1")
    for revision in ("refs/pr/1", other):
        manifest = parse_source(MODEL, revision=revision).resolve()
        assert manifest.id == other
        assert [file.path for file in manifest.files] == ["m.gguf"]


def test_one_file_by_its_pattern_is_a_file(hub):
    hub.add("org/many", {"a-Q4_0.gguf": b"GGUF4", "a-Q8_0.gguf": b"GGUF8", "config.json": b"{}"})
    assert fetch("hf://org/many/*Q4_0.gguf").path.read_bytes() == b"GGUF4"
    error = refusal("hf://org/many")
    assert "a-Q4_0.gguf, a-Q8_0.gguf" in error.message
    assert "--include" in error.hint
    model = fetch("hf://org/many", include=["*"], exclude=["*Q4_0*"])
    assert sorted(p.name for p in model.path.iterdir()) == ["a-Q8_0.gguf", "config.json"]


def test_pickles_and_programs_come_when_they_are_named_and_that_is_said(hub, caplog):
    model = fetch(MODEL, include=["pytorch_model.bin", "modeling.py"])
    assert sorted(p.name for p in model.path.iterdir()) == ["modeling.py", "pytorch_model.bin"]
    (record,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert "pytorch_model.bin, modeling.py" in record.getMessage()
    hub.add("org/pickled", {"pytorch_model.bin": b"x", "config.json": b"{}"})
    assert "can run code" in refusal("hf://org/pickled").message


def test_a_pickle_that_passes_for_other_weights_is_not_published(hub, home):
    hub.add("org/sly", {"m.xml": b"<net/>", "m.bin": b"PK\x03\x04" + bytes(1000)})
    error = refusal("hf://org/sly")
    assert "m.bin passes for OpenVINO's weights and is a pickle" in error.message
    assert list((home / "models").iterdir()) == []


AUTO = json.dumps({"auto_map": {"AutoModel": "other/repo--modeling.Model"}}).encode()


@pytest.mark.parametrize(
    "config",
    [
        AUTO,
        AUTO.replace(b"auto_map", b"auto\\u005fmap"),
        AUTO.replace(b"}}", b'}, "auto_map": null}'),
        b'{"text_config": {"auto_map": "modeling.Model"}}',
        AUTO.decode().encode("utf-16"),
    ],
)
def test_remote_code_is_refused_before_the_weights_are_fetched(hub, home, config):
    hub.add("org/remote", {"config.json": config, "model.safetensors": WEIGHTS})
    error = refusal("hf://org/remote")
    assert "config.json has engines run Python that is not this machine's" in error.message
    assert hub.origin.sent["file"] == len(config)
    assert list((home / "models").iterdir()) == []


def test_remote_code_comes_when_its_file_is_named_and_that_is_said(hub, caplog):
    hub.add("org/remote", {"config.json": AUTO, "model.safetensors": WEIGHTS})
    assert "refused by default" in refusal("hf://org/remote", include=["*", "*.json"]).message
    model = fetch("hf://org/remote", include=["*", "config.json"])
    assert (model.path / "config.json").read_bytes() == AUTO
    assert any("'other/repo--modeling.Model'" in record.getMessage() for record in caplog.records)


def test_a_configuration_too_large_to_look_into_is_refused(hub):
    hub.add("org/large", {"config.json": Blob(17 << 20), "model.safetensors": WEIGHTS})
    assert "too large to be a configuration" in refusal("hf://org/large").message


def test_no_such_repository(hub, monkeypatch):
    error = refusal("hf://org/none")
    assert error.message == f"{hub.url} has no model org/none, or it is private"
    assert "set HF_TOKEN" in error.hint
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert "token from HF_TOKEN has no access" in refusal("hf://org/none").hint


def test_no_such_revision_or_file(hub):
    error = refusal(f"{MODEL}@v9")
    assert error.message == "org/model has no revision 'v9'"
    error = refusal(f"{MODEL}/model.gguf")
    assert error.message == "no file matches 'model.gguf'"
    assert "model.safetensors" in error.hint


def test_a_gated_repository_without_a_token_says_how_to_get_one(hub, monkeypatch):
    hub.add("org/gated", FILES, gated=True)
    error = refusal("hf://org/gated")
    assert "the model is gated" in error.message
    assert f"Accept its terms at {hub.url}/org/gated" in error.hint
    assert f"{hub.url}/settings/tokens" in error.hint
    assert "HF_TOKEN" in error.hint
    monkeypatch.setenv("HF_TOKEN", STRANGER)
    error = refusal("hf://org/gated")
    assert "the owner of the token from HF_TOKEN has no access" in error.message
    assert hub.origin.sent["file"] == 0
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert fetch("hf://org/gated").manifest.id == hub.repos["org/gated"].refs["main"]


def test_a_gate_that_only_the_bytes_know_of_is_explained_as_well(hub):
    hub.fault("status", on="file", value=(403, {"X-Error-Code": "GatedRepo"}))
    assert "the model is gated" in refusal().message


def test_what_another_server_says_is_not_the_hubs_word(hub):
    hub.redirect_large = True
    hub.cdn.fault("status", value=(403, {"X-Error-Code": "GatedRepo"}))
    error = refusal()
    assert error.message == "the server answers 403 (Forbidden)"
    assert error.where.startswith(hub.cdn.url)
    assert "sig-5ecret" not in str(error.as_dict())


def test_a_bad_token(hub, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong-horse")
    error = refusal()
    assert error.message == "the hub does not accept the token from HF_TOKEN"
    assert "wrong-horse" not in str(error)
    monkeypatch.delenv("HF_TOKEN")
    path = tmp_path / "token"
    path.write_text("hf_wrong-horse\n")
    monkeypatch.setenv("HF_TOKEN_PATH", str(path))
    assert refusal().message == f"the hub does not accept the token from {path}"


@pytest.mark.parametrize("value", ["hf_a b", "hf_é", "hf_a\nX-Evil: 1", "h" * 2000])
def test_what_is_no_token_is_not_sent(hub, monkeypatch, value):
    monkeypatch.setenv("HF_TOKEN", value)
    error = refusal()
    assert "this is no token" in error.message
    assert value not in str(error)
    assert hub.origin.seen == []


def test_tokens_are_found_where_the_genuine_client_finds_them(tmp_path):
    def find(**environ):
        found = HubToken.find({"HF_HOME": str(tmp_path / "none"), **environ})
        return None if found is None else found.value

    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "token").write_text(" hf_file \n")
    assert find() is None
    assert find(HF_HOME=str(tmp_path / "hf")) == "hf_file"
    assert find(HF_TOKEN_PATH=str(tmp_path / "hf" / "token")) == "hf_file"
    assert find(HUGGING_FACE_HUB_TOKEN="hf_old") == "hf_old"
    assert find(HF_TOKEN=" hf_env ", HF_TOKEN_PATH=str(tmp_path / "hf" / "token")) == "hf_env"
    assert find(HF_TOKEN="", HF_TOKEN_PATH=str(tmp_path)) is None
    caches = HubToken.find({"XDG_CACHE_HOME": str(tmp_path)})
    assert caches is None
    assert "hf_x" not in repr(HubToken("hf_x", "HF_TOKEN"))


def test_the_token_is_the_endpoints_alone(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.redirect_large = True
    hub.add("org/gated", FILES, gated=True)
    model = fetch("hf://org/gated")
    assert (model.path / "model.safetensors").read_bytes() == WEIGHTS.bytes()
    assert hub.cdn.requests["blob"] > 0
    assert hub.cdn.secrets_seen() == []
    assert set(hub.origin.secrets_seen()) == {f"Bearer {TOKEN}"}


HOSTILE = [
    "../../etc/passwd",
    "/etc/passwd",
    "a/../../b.safetensors",
    "C:\\windows\\x.safetensors",
    "c:x.safetensors",
    "a\0b.safetensors",
    "a\nb.safetensors",
    "a//b.safetensors",
    "./x.safetensors",
    "a\u202eb.safetensors",
    "",
    "n" * 2000 + ".safetensors",
]


@pytest.mark.parametrize("name", HOSTILE, ids=repr)
def test_hostile_names_are_refused_before_the_first_byte(hub, home, name):
    entry = {"type": "file", "path": name, "size": 6, "oid": "0" * 40}
    hub.rewrite = lambda entries: [*entries, entry]
    error = refusal()
    assert "cannot be stored safely" in error.message
    assert error.where == "hf://org/model@main"
    assert hub.origin.requests["file"] == 0
    assert not (home / "models").exists() or list((home / "models").iterdir()) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"size": -1}, "gives no size"),
        ({"size": "9"}, "gives no size"),
        ({"size": True}, "gives no size"),
        ({"size": 1 << 60}, "gives no size"),
        ({"oid": None}, "gives no checksum"),
        ({"oid": "../../x"}, "gives no checksum"),
        ({"lfs": {"oid": "zz", "size": 3}}, "gives no checksum"),
        ({"lfs": {"oid": "0" * 64}}, "gives no size"),
        ({"path": 7}, "something that is no file"),
        ({"path": "config.json"}, "twice"),
    ],
)
def test_a_listing_is_not_trusted(hub, change, reason):
    entry = {"type": "file", "path": "x.json", "size": 6, "oid": "0" * 40, **change}
    hub.rewrite = lambda entries: [*entries, entry]
    error = refusal()
    assert reason in error.message
    assert "HF_ENDPOINT" in error.hint


def test_what_is_no_file_is_not_taken(hub):
    link = {"type": "symlink", "path": "link.safetensors", "size": 6, "oid": "0" * 40}
    hub.rewrite = lambda entries: [*entries, link]
    assert "link.safetensors" not in [f.path for f in parse_source(MODEL).resolve().files]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"[]", "names no commit"),
        (b'{"sha": "main"}', "names no commit"),
        (b'{"sha": "../../../x"}', "names no commit"),
        (b"nonsense", "not JSON"),
        (b"[" * 100_000, "nested too deep"),
    ],
)
def test_what_is_no_hub_is_said(hub, body, reason):
    hub.fault("status", on="revision", value=(200, {}, body))
    assert reason in str(refusal())


def test_a_commit_is_answered_with_itself(hub):
    body = json.dumps({"sha": "1" * 40}).encode()
    hub.fault("status", on="revision", value=(200, {}, body))
    assert "another commit" in refusal(f"{MODEL}@{hub.commit}").message


def test_a_listing_without_end_is_given_up(hub):
    again = {"Link": f'<{hub.url}/api/models/org/model/tree/x?cursor=1>; rel="next"'}
    hub.fault("status", on="*", path="*/tree/*", value=(200, again, b"[]"))
    assert "endless" in refusal().message


def test_a_listing_does_not_go_on_elsewhere(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    away = {"Link": f'<{hub.cdn.url}/tree?cursor=1>; rel="next"'}
    hub.fault("status", on="tree", value=(200, away, b"[]"))
    assert "goes on at another address" in refusal().message
    assert hub.cdn.seen == []


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        ("ftp://x", "not an http"),
        ("nonsense", "not an http"),
        ("https://user:hunter2@host", "user name or password"),
        ("https://host?token=hunter2", "without a query"),
    ],
)
def test_an_endpoint_is_a_url(hub, monkeypatch, endpoint, reason):
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    error = refusal()
    assert reason in error.message
    assert "hunter2" not in str(error.as_dict())


def test_an_endpoint_may_lie_below_a_path(hub, monkeypatch):
    route = hub.origin._route

    def below(request):
        assert request.path.startswith("/artifacts/hub/")
        path = request.path.removeprefix("/artifacts/hub")
        return route(type(request)(request.method, path, request.query, request.headers))

    monkeypatch.setattr(hub.origin, "_route", below)
    monkeypatch.setenv("HF_ENDPOINT", f"{hub.url}/artifacts/hub/")
    assert fetch(MODEL).manifest.id == hub.commit


def test_not_enough_disk_is_refused_before_the_first_byte(hub, home):
    def rewrite(entries):
        for entry in entries:
            if "lfs" in entry:
                entry["lfs"]["size"] = entry["size"] = 1 << 50
        return entries

    hub.rewrite = rewrite
    error = refusal()
    assert "not enough disk for the model: 1,125,899,90" in error.message
    assert "are free" in error.message
    assert hub.origin.requests["file"] == 0
