"""The admin API, over a `FakeModelControl`, and what it changes for requests."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

import pytest
from fake_control import FakeModelControl, loaded, unloaded

from pilotage.errors import (
    IntegrityError,
    ModelError,
    ResourceError,
    ServeError,
    UnsupportedModelError,
    UsageError,
)
from pilotage.serve.api import ServedModel
from pilotage.serve.control import AliasTarget
from pilotage.serve.keys import KeyStore, Scope

MODELS = "/v1/admin/models"
ALIASES = "/v1/admin/aliases"


@dataclass
class AliasedModels:
    """Served models and the aliases of a control in front of them."""

    models: tuple[ServedModel, ...]
    control: FakeModelControl

    def find(self, name):
        wanted = self.models[0].name if name is None else self.control.table.resolve(name) or name
        return next((model for model in self.models if model.name == wanted), None)

    def peek(self, name):
        return self.find(name)

    def names(self):
        return (*(model.name for model in self.models), *self.control.aliases())

    def all(self):
        return self.models


@pytest.fixture
def control():
    return FakeModelControl.of(loaded("smollm2"), unloaded("org/tiny"))


@pytest.fixture
def gateway(start_gateway, control):
    """A gateway that can be steered."""
    return start_gateway(control=control)


@pytest.fixture
def aliased(start_gateway, smollm, control):
    """One whose two models and aliases can be named; the second has half the first's context."""

    def model(name, max_model_len):
        return ServedModel(
            name, smollm, dispatcher, lambda: None, 1_700_000_000 + max_model_len, max_model_len
        )

    plain = start_gateway()
    dispatcher = plain.dispatcher
    models = AliasedModels((model("smollm2", 2048), model("org/tiny", 1024)), control)
    gateway = start_gateway(control=control, models=models)
    gateway.say = plain.say
    gateway.dispatcher = dispatcher
    return gateway


def targets_of(*models):
    return tuple(AliasTarget(model) for model in models)


def error_of(answer, status):
    assert answer.status_code == status, answer.text
    return answer.json()["error"]


def test_models_are_listed_with_their_replicas(gateway):
    listed = gateway.get(MODELS).json()
    assert listed["object"] == "list"
    smollm2, tiny = listed["data"]
    assert smollm2 == {
        "name": "smollm2", "source": "file:///models/smollm2.gguf", "engine": "openvino",
        "task": "generate", "state": "ready", "queued": 2, "last_used_s": 12.5, "error": None,
        "replicas": [{
            "worker": 0, "device": "cpu:0", "state": "ready", "running": 1,
            "memory_bytes": 300 << 20,
        }],
    }  # fmt: skip
    assert (tiny["name"], tiny["state"], tiny["replicas"]) == ("org/tiny", "unloaded", [])


def test_loading_and_unloading(gateway, control, caplog):
    with caplog.at_level(logging.INFO, logger="pilotage.admin"):
        assert gateway.http.post(f"{MODELS}/org/tiny/load").json()["state"] == "ready"
        assert gateway.post(f"{MODELS}/smollm2/unload", {}).json()["state"] == "unloaded"
    assert control.asked == [("load", "org/tiny"), ("unload", "smollm2")]
    assert [status.state for status in control.models()] == ["unloaded", "ready"]
    assert "loaded the model org/tiny, without a key" in caplog.messages[0]
    # An escaped slash is one, too.
    assert gateway.http.post(f"{MODELS}/org%2Ftiny/unload").json()["name"] == "org/tiny"


def test_models_that_nobody_knows_are_not_asked_for(gateway, control):
    control.set_alias("chat", targets_of("smollm2"))
    for verb in ("load", "unload"):
        unknown = error_of(gateway.http.post(f"{MODELS}/smolm2/{verb}"), 404)
        assert unknown["code"] == "model_not_found"
        assert unknown["message"] == (
            "There is no model 'smolm2'. Did you mean 'smollm2'? Models: smollm2, org/tiny."
        )
        alias = error_of(gateway.http.post(f"{MODELS}/chat/{verb}"), 404)
        assert alias["message"] == "'chat' is an alias; name the model behind it: smollm2."
        for name in ("", "x" * 5000, "%00", "..%2F..%2Fetc"):
            assert gateway.http.post(f"{MODELS}/{name}/{verb}").status_code == 404
    assert control.asked == []


def test_a_body_where_none_belongs_is_refused(gateway, control):
    refused = error_of(gateway.post(f"{MODELS}/smollm2/unload", {"force": True}), 400)
    assert refused["message"] == "This route takes no body."
    assert gateway.http.post(f"{MODELS}/smollm2/unload", content=b"force").status_code == 400
    assert gateway.http.request("DELETE", f"{ALIASES}/x", json={"a": 1}).status_code == 400
    assert control.asked == []


@pytest.mark.parametrize(
    ("failure", "others", "answer"),
    [
        (
            ResourceError("it needs 2 GiB", hint="Unload another"),
            "ready",
            (409, "not_enough_memory", "It needs 2 GiB. Unload another. Loaded are: smollm2."),
        ),
        (
            ResourceError("it needs 2 GiB of 1 GiB"),
            "unloaded",
            (507, "not_enough_memory", "It needs 2 GiB of 1 GiB."),
        ),
        (
            ModelError("cut off", where="m.gguf"),
            "ready",
            (422, "model_unusable", "m.gguf: Cut off."),
        ),
        (UnsupportedModelError("no"), "ready", (422, "model_unusable", "No.")),
        (IntegrityError("other bytes"), "ready", (502, "source_failed", "Other bytes.")),
        (
            UsageError("not on this machine"),
            "ready",
            (400, "invalid_value", "Not on this machine."),
        ),
        (ServeError("the worker died"), "ready", (500, "load_failed", "The worker died.")),
    ],
)
def test_what_the_control_refuses(gateway, control, failure, others, answer):
    status, code, said = answer
    control.failure = failure
    if others == "unloaded":
        control.known["smollm2"] = unloaded("smollm2")
    for verb in ("load", "unload"):
        refused = error_of(gateway.http.post(f"{MODELS}/org/tiny/{verb}"), status)
        assert (refused["code"], refused["message"], refused["param"]) == (code, said, "name")


def test_aliases_are_made_moved_and_taken_away(gateway):
    assert gateway.get(ALIASES).json() == {"object": "list", "data": []}
    body = {"targets": [{"model": "smollm2", "weight": 9}, {"model": "org/tiny"}]}
    made = gateway.http.put(f"{ALIASES}/team/chat", json=body).json()
    targets = [{"model": "smollm2", "weight": 9.0}, {"model": "org/tiny", "weight": 1.0}]
    assert made == {"name": "team/chat", "targets": targets}
    assert gateway.get(ALIASES).json()["data"] == [made]
    moved = gateway.http.put(f"{ALIASES}/team/chat", json={"targets": targets[1:]}).json()
    assert gateway.get(ALIASES).json()["data"] == [moved]
    gone = gateway.http.delete(f"{ALIASES}/team/chat").json()
    assert gone == {"name": "team/chat", "deleted": True}
    assert error_of(gateway.http.delete(f"{ALIASES}/team/chat"), 404)["code"] == "alias_not_found"


@pytest.mark.parametrize(
    ("name", "body", "answer"),
    [
        ("x", {}, ("targets", "required")),
        ("x", {"targets": []}, ("targets", "at least 1")),
        ("x", {"targets": [{}]}, ("targets[0].model", "required")),
        ("x", {"targets": "smollm2"}, ("targets", "list")),
        ("x", {"targets": [{"model": 5}]}, ("targets[0].model", "string")),
        ("x", {"targets": [{"model": "smollm2", "weight": "1"}]}, ("targets[0].weight", "number")),
        ("x", {"targets": [{"model": "smollm2", "weight": 0}]}, ("targets[0].weight", "greater")),
        ("x", {"targets": [{"model": "smollm2", "weight": -1}]}, ("targets[0].weight", "greater")),
        ("x", {"targets": [{"model": "smollm2", "weight": 1e300}]}, ("targets[0].weight", "less")),
        ("x", {"targets": [{"model": "smollm2", "wait": 1}]}, ("targets[0].wait", "unknown")),
        ("x", {"targets": [{"model": "smollm2"}], "force": True}, ("force", "Unknown")),
        ("x", {"targets": [{"model": "smolm2"}]}, ("targets[0].model", "Did you mean 'smollm2'")),
        ("x", {"targets": [{"model": "smollm2"}] * 2}, ("targets[1].model", "twice")),
        ("smollm2", {"targets": [{"model": "org/tiny"}]}, ("name", "the name of a model")),
        ("a b", {"targets": [{"model": "org/tiny"}]}, ("name", "no name for an alias")),
        ("", {"targets": [{"model": "org/tiny"}]}, ("name", "no name for an alias")),
    ],
)
def test_aliases_that_are_refused(gateway, control, name, body, answer):
    param, said = answer
    refused = error_of(gateway.http.put(f"{ALIASES}/{name}", json=body), 400)
    assert refused["param"] == param
    assert said in refused["message"]
    assert control.aliases() == {}


def test_bodies_that_are_no_json(gateway):
    for content, status in ((b"", 400), (b"{", 400), (b"[]", 400), (b'{"targets":[NaN]}', 400)):
        assert gateway.http.put(f"{ALIASES}/x", content=content).status_code == status
    text = {"content-type": "text/plain"}
    assert gateway.http.put(f"{ALIASES}/x", content=b"{}", headers=text).status_code == 415


def test_a_server_that_cannot_be_steered_has_no_admin_routes(start_gateway):
    gateway = start_gateway()
    assert error_of(gateway.get(MODELS), 404)["code"] == "unknown_url"
    assert "/v1/admin/models" not in gateway.get("/openapi.json").json()["paths"]


def bearer(issued):
    return {"authorization": f"Bearer {issued.text}"}


def test_each_key_opens_its_scopes(start_gateway, control, tmp_path):
    keys = KeyStore(tmp_path / "keys.json")
    user = keys.add("user")
    operator = keys.add("operator", scopes=(Scope.ADMIN,))
    both = keys.add("both", scopes=(Scope.INFERENCE, Scope.ADMIN))
    gateway = start_gateway(control=control, keys=keys)
    admin = [
        ("GET", MODELS), ("POST", f"{MODELS}/smollm2/load"), ("POST", f"{MODELS}/smollm2/unload"),
        ("GET", ALIASES), ("PUT", f"{ALIASES}/x"), ("DELETE", f"{ALIASES}/x"),
        ("GET", "/v1/admin"), ("GET", "/v1/admin/"), ("POST", "/v1/admin/what/ever"),
    ]  # fmt: skip
    inference = [
        ("POST", "/v1/chat/completions"), ("POST", "/v1/completions"), ("POST", "/invocations"),
        ("POST", "/tokenize"), ("POST", "/detokenize"), ("POST", "/infer"),
        ("POST", "/v1/embeddings"), ("POST", "/v1/predict"), ("GET", "/nope"),
        ("POST", "/v1/workers/0/models/smollm2/chat/completions"),
        ("POST", "/v1//admin/models/smollm2/load"),
    ]  # fmt: skip
    shared = [
        ("GET", "/v1/models"), ("GET", "/v1/models/smollm2"), ("GET", "/metrics"), ("GET", "/docs"),
        ("GET", "/openapi.json"), ("GET", "/health"),
    ]  # fmt: skip

    def status(call, issued):
        answer = gateway.http.request(*call, headers=bearer(issued), follow_redirects=True)
        if answer.status_code == 403:
            assert answer.json()["error"]["code"] == "insufficient_scope"
        return answer.status_code

    for call in admin:
        assert gateway.http.request(*call).status_code == 401
        assert status(call, user) == 403
        assert status(call, operator) not in {401, 403}
        assert status(call, both) not in {401, 403}
    for call in inference:
        assert status(call, operator) == 403
        assert status(call, user) not in {401, 403}
        assert status(call, both) not in {401, 403}
    for call in shared:
        assert {status(call, issued) for issued in (user, operator, both)} == {200}
    assert {asked for asked, _ in control.asked} == {"load", "unload"}
    refused = gateway.get(MODELS, headers=bearer(user)).json()["error"]["message"]
    assert "scope 'admin'; the scopes of this key: inference." in refused
    keys.revoke("operator")
    assert gateway.get(MODELS, headers=bearer(operator)).status_code == 401


def test_who_did_it_is_in_the_log(start_gateway, control, tmp_path, caplog):
    keys = KeyStore(tmp_path / "keys.json")
    operator = keys.add("operator", scopes=(Scope.ADMIN,))
    gateway = start_gateway(control=control, keys=keys)
    with caplog.at_level(logging.INFO, logger="pilotage.admin"):
        body = {"targets": [{"model": "smollm2", "weight": 2.5}]}
        gateway.http.put(f"{ALIASES}/chat", json=body, headers=bearer(operator))
        gateway.http.delete(f"{ALIASES}/chat", headers=bearer(operator))
    # The access log goes on in the server's own thread, for as long as the level is there.
    made, gone = [one.getMessage() for one in caplog.records if one.name == "pilotage.admin"]
    assert made.endswith(f"set the alias chat to smollm2=2.5, by the key {operator.key.id}")
    assert gone.endswith(f"removed the alias chat, by the key {operator.key.id}")


def test_without_a_key_a_web_page_may_infer_but_not_steer(gateway, control, tmp_path):
    page = {"origin": "http://evil.example"}
    refused = gateway.http.post(f"{MODELS}/smollm2/unload", headers=page)
    assert error_of(refused, 403)["code"] == "browser_not_allowed"
    assert control.asked == []
    assert gateway.get("/v1/models", headers=page).status_code == 200


def test_with_a_key_it_may(start_gateway, control, tmp_path):
    keys = KeyStore(tmp_path / "keys.json")
    operator = keys.add("operator", scopes=(Scope.ADMIN,))
    gateway = start_gateway(control=control, keys=keys)
    page = {"origin": "http://dashboard.example"}
    assert gateway.get(MODELS, headers=bearer(operator) | page).status_code == 200


def test_aliases_are_in_the_list_of_models(aliased, control):
    control.set_alias("chat", targets_of("smollm2", "org/tiny"))
    listed = aliased.get("/v1/models").json()["data"]
    assert [(card["id"], card["root"], card["max_model_len"]) for card in listed] == [
        ("smollm2", "smollm2", 2048),
        ("org/tiny", "org/tiny", 1024),
        ("chat", "smollm2", 1024),  # what fits into both
    ]
    for card in listed:
        assert aliased.get(f"/v1/models/{card['id']}").json() == card
    # Looking it up takes no turn away: the next two requests go to either.
    aliased.say("x")
    went = [aliased.complete(model="chat").json()["model"] for _ in range(2)]
    assert went == ["smollm2", "org/tiny"]
    assert [one.id for one in aliased.openai.models.list()] == ["smollm2", "org/tiny", "chat"]


def test_an_alias_is_moved_under_load_with_no_failed_request(aliased, control):
    """And the weights hold exactly while it stays."""
    aliased.say("x")
    put = {"targets": [{"model": "smollm2", "weight": 9}, {"model": "org/tiny", "weight": 1}]}
    assert aliased.http.put(f"{ALIASES}/chat", json=put).status_code == 200
    went = [aliased.complete(model="chat").json()["model"] for _ in range(100)]
    assert (went.count("smollm2"), went.count("org/tiny")) == (90, 10)

    statuses: list[int] = []
    stop = threading.Event()

    def ask():
        while not stop.is_set():
            statuses.append(aliased.complete(model="chat").status_code)

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    for turn in range(40):
        one = {"targets": [{"model": ("smollm2", "org/tiny")[turn % 2]}]}
        assert aliased.http.put(f"{ALIASES}/chat", json=one).status_code == 200
    stop.set()
    for asker in askers:
        asker.join(30)
    assert set(statuses) == {200}
    assert aliased.complete(model="chat").json()["model"] == "org/tiny"


def test_the_openapi_document_has_it_all(gateway):
    document = gateway.get("/openapi.json").json()
    paths = document["paths"]
    load = paths["/v1/admin/models/{name}/load"]["post"]
    assert {"200", "400", "401", "403", "404", "409", "422", "502", "507"} <= load[
        "responses"
    ].keys()
    put = paths["/v1/admin/aliases/{name}"]["put"]
    reference = put["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    body = document["components"]["schemas"][reference.rpartition("/")[2]]
    assert body["additionalProperties"] is False
    assert body["required"] == ["targets"]
    assert put["parameters"][0]["name"] == "name"
    assert "/v1/admin/aliases" in gateway.get("/docs").text


def test_the_metrics_have_templates_for_labels(gateway):
    gateway.http.post(f"{MODELS}/org/tiny/load")
    gateway.http.put(f"{ALIASES}/a-name", json={"targets": [{"model": "smollm2"}]})
    text = gateway.get("/metrics").text
    assert 'endpoint="/v1/admin/models/{name}/load"' in text
    assert 'endpoint="/v1/admin/aliases/{name}"' in text
    assert "a-name" not in text
