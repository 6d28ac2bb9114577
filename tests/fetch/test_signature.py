"""Signatures of models: made by the genuine library, checked before anything is published."""

from __future__ import annotations

import base64
import datetime
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID
from hub_origin import Hub
from odd_origin import Blob
from typer.testing import CliRunner

from pilotage.cli.main import app
from pilotage.errors import IntegrityError, PilotageError, SourceError, UsageError
from pilotage.fetch import fetch
from pilotage.fetch.signature import (
    SignatureCheck,
    SignatureChecker,
    SignedByCertificate,
    SignedByIdentity,
    SignedByKey,
)

needs_library = pytest.mark.skipif(
    find_spec("model_signing") is None or find_spec("OpenSSL") is None,
    reason="model-signing is not installed (pip install 'pilotage[signing]')",
)
MODEL = "hf://org/model"
FILES = {
    "config.json": b'{"model_type": "tiny"}',
    "model.safetensors": bytes(range(256)) * 700,
    "empty.txt": b"",
    "sub/tokenizer.json": b"{}",
}


class Owner:
    """Somebody with a throwaway key; `signs` returns what the library's signer writes."""

    def __init__(self, folder, name="owner"):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.private = folder / f"{name}.key"
        self.public = folder / f"{name}.pem"
        self.private.write_bytes(private_pem(self.key))
        self.public.write_bytes(public_pem(self.key))
        self.folder = folder

    def signs(self, files, *, certificates=(), ignored=(), **how):
        from model_signing import hashing, signing

        root = write(self.folder / f"signed-{len(list(self.folder.iterdir()))}", files)
        config = hashing.Config().set_ignored_paths(paths=ignored)
        if shard_size := how.pop("shard_size", None):
            config.use_shard_serialization(shard_size=shard_size, **how)
        elif how:
            config.use_file_serialization(**how)
        signer = signing.Config().set_hashing_config(config)
        if certificates:
            signer.use_certificate_signer(
                private_key=self.private,
                signing_certificate=certificates[0],
                certificate_chain=certificates[1:],
            )
        else:
            signer.use_elliptic_key_signer(private_key=self.private)
        out = self.folder / "out.sig"
        signer.sign(root if len(files) > 1 else root / next(iter(files)), out)
        return out.read_bytes()


def private_pem(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def write(root, files):
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return root


@pytest.fixture
def owner(tmp_path):
    folder = tmp_path / "owner"
    folder.mkdir()
    return Owner(folder)


@pytest.fixture
def hub(monkeypatch, tmp_path, home):
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "PILOTAGE_FETCH_ALLOW"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    with Hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def by(owner, **rest):
    return SignatureCheck(SignedByKey(owner.public), **rest)


def refusal(home, check, source=MODEL, kind=IntegrityError, **rest):
    """What a fetch is refused with; nothing may be published by it."""
    before = published(home)
    with pytest.raises(kind) as error:
        fetch(source, signature=check, **rest)
    assert published(home) == before
    assert "\n" not in str(error.value)
    return str(error.value)


def published(home):
    models = home / "models"
    return sorted(models.iterdir()) if models.exists() else []


@needs_library
class TestOfAKey:
    def test_what_was_signed_is_published(self, hub, owner):
        hub.add("org/model", {**FILES, "model.sig": owner.signs(FILES), ".gitattributes": b"*"})
        model = fetch(MODEL, signature=by(owner))
        arrived = {p.relative_to(model.path).as_posix(): p for p in model.path.rglob("*.*")}
        assert arrived.keys() == {*FILES, "model.sig"}
        assert {path: arrived[path].read_bytes() for path in FILES} == FILES

    def test_a_signature_under_another_name(self, hub, owner):
        hub.add("org/model", {**FILES, "by/us.sig": owner.signs(FILES)})
        assert (fetch(MODEL, signature=by(owner, file="by/us.sig")).path / "by/us.sig").exists()

    def test_a_signature_on_this_machine(self, hub, owner, tmp_path):
        hub.add("org/model", FILES)
        (tmp_path / "here.sig").write_bytes(owner.signs(FILES))
        model = fetch(MODEL, signature=by(owner, file=tmp_path / "here.sig"))
        assert {file.path for file in model.manifest.files} == {*FILES}

    @pytest.mark.parametrize(
        "how",
        [
            {"hashing_algorithm": "blake2"},
            {"hashing_algorithm": "blake3"},
            {"shard_size": 50_000},
            {"shard_size": 50_000, "hashing_algorithm": "blake2"},
        ],
        ids=str,
    )
    def test_other_digests_and_shards(self, hub, home, owner, how):
        signature = owner.signs(FILES, **how)
        hub.add("org/model", {**FILES, "model.sig": signature})
        assert not fetch(MODEL, signature=by(owner)).from_cache
        changed = bytearray(FILES["model.safetensors"])
        changed[60_000] ^= 1
        files = {**FILES, "model.safetensors": bytes(changed), "model.sig": signature}
        hub.add("org/model", files, ref="v2")
        said = refusal(home, by(owner), revision="v2")
        assert "not those that were signed; changed: model.safetensors" in said

    @pytest.mark.parametrize("path", FILES)
    def test_a_file_that_was_changed(self, hub, home, owner, path):
        hub.add("org/model", {**FILES, "model.sig": owner.signs(FILES), path: b'{"changed": 1}'})
        said = refusal(home, by(owner))
        assert f"not those that were signed; changed: {path}. The model is not to be" in said

    def test_a_file_more_than_was_signed(self, hub, home, owner):
        more = {"generation_config.json": b"{}", "model-2.safetensors": b"x"}
        hub.add("org/model", {**FILES, **more, "model.sig": owner.signs(FILES)})
        said = refusal(home, by(owner))
        assert "not signed: generation_config.json, model-2.safetensors" in said
        assert "--exclude" in said
        assert fetch(MODEL, signature=by(owner), exclude=[*more]).path.is_dir()

    def test_a_file_less_than_was_signed(self, hub, home, owner):
        signature = owner.signs({**FILES, "generation_config.json": b"{}"})
        hub.add("org/model", {**FILES, "model.sig": signature})
        assert "signed, and missing: generation_config.json" in refusal(home, by(owner))

    def test_signed_files_that_are_not_taken_need_not_be_there(self, hub, owner):
        everything = {**FILES, "pytorch_model.bin": b"pickle", "modeling.py": b"import os"}
        hub.add("org/model", {**everything, "model.sig": owner.signs(everything)})
        model = fetch(MODEL, signature=by(owner))
        assert {file.path for file in model.manifest.files} == {*FILES, "model.sig"}
        one = fetch(f"{MODEL}/config.json", signature=by(owner))
        assert one.path.name == "config.json"

    def test_weights_that_were_taken_away(self, hub, home, owner):
        less = {path: data for path, data in FILES.items() if path != "model.safetensors"}
        hub.add("org/model", {**less, "model.sig": owner.signs(FILES)})
        assert "signed, and missing: model.safetensors" in refusal(home, by(owner))

    def test_what_the_signer_left_out_is_not_signed(self, hub, home, owner):
        everything = {**FILES, "tokenizer.json": b"{}"}
        signature = owner.signs(everything, ignored=["tokenizer.json", "model.sig"])
        hub.add("org/model", {**everything, "model.sig": signature})
        assert "not signed: tokenizer.json" in refusal(home, by(owner))

    def test_no_signature_is_seen_before_the_model_is_fetched(self, hub, home, owner):
        hub.add("org/model", FILES)
        said = refusal(home, by(owner))
        assert "the model is not signed: there is no model.sig" in said
        assert hub.origin.requests["file"] == 0

    def test_somebody_elses_signature(self, hub, home, owner, tmp_path):
        hub.add("org/model", {**FILES, "model.sig": Owner(tmp_path, "other").signs(FILES)})
        assert "the signature does not hold: Key mismatch" in refusal(home, by(owner))

    def test_a_list_that_was_changed_after_it_was_signed(self, hub, home, owner):
        bundle = json.loads(owner.signs(FILES))
        payload = base64.b64decode(bundle["dsseEnvelope"]["payload"])
        honest = json.loads(payload)["predicate"]["resources"][0]["digest"]
        forged = payload.replace(honest.encode(), b"0" * 64)
        assert forged != payload
        bundle["dsseEnvelope"]["payload"] = base64.b64encode(forged).decode()
        hub.add("org/model", {**FILES, "model.sig": json.dumps(bundle).encode()})
        assert "it was not made with this key, or what it signs was" in refusal(home, by(owner))

    @pytest.mark.parametrize(
        "signature",
        [
            b"",
            b"\xff\xfe",
            b"{}",
            b"[]",
            b"null",
            b'{"verificationMaterial": {}, "dsseEnvelope": {}}',
            b'{"verificationMaterial": {"publicKey": {"hint": "a\\u001b[31m\\nb"}}}',
            b"[" * 100_000,
            b"<html>log in</html>",
        ],
        ids=lambda data: data[:20],
    )
    def test_what_is_no_signature(self, hub, home, owner, signature):
        hub.add("org/model", {**FILES, "model.sig": signature})
        said = refusal(home, by(owner))
        assert "the signature does not hold: " in said
        assert said.isprintable()

    @pytest.mark.parametrize("cut", [0.1, 0.5, 0.9, 0.999])
    def test_a_signature_that_was_cut_short(self, hub, home, owner, cut):
        whole = owner.signs(FILES)
        hub.add("org/model", {**FILES, "model.sig": whole[: int(len(whole) * cut)]})
        assert "the signature does not hold: " in refusal(home, by(owner))

    def test_a_signature_larger_than_any(self, hub, home, owner):
        hub.add("org/model", {**FILES, "model.sig": Blob((16 << 20) + 1, seed=1)})
        assert "larger than 16,777,216 bytes" in refusal(home, by(owner))

    def test_a_cached_model_is_checked_too_and_without_the_network(self, hub, home, owner):
        hub.add("org/model", {**FILES, "model.sig": owner.signs(FILES)})
        fetch(MODEL, signature=by(owner))
        asked = len(hub.origin.seen)
        assert fetch(MODEL, signature=by(owner)).from_cache
        other = Owner(owner.folder, "other")
        assert "Key mismatch" in refusal(home, by(other))
        assert len(hub.origin.seen) == asked

    def test_a_model_that_was_cached_unchecked_is_checked(self, hub, home, owner, tmp_path):
        hub.add("org/model", {**FILES, "config.json": b"{}"})
        fetch(MODEL)
        (tmp_path / "here.sig").write_bytes(owner.signs(FILES))
        said = refusal(home, by(owner, file=tmp_path / "here.sig"))
        assert "changed: config.json" in said

    def test_what_another_process_published_first_is_checked(
        self, hub, home, owner, tmp_path, monkeypatch
    ):
        from pilotage.fetch.store import Store

        hub.add("org/model", FILES)
        (tmp_path / "here.sig").write_bytes(owner.signs(FILES))
        publish = Store.publish

        def late(store, staging, manifest):
            monkeypatch.setattr(Store, "publish", publish)
            hub.add("org/model", {**FILES, "config.json": b"{}"})
            # Without a turn: as on a filesystem where leases do not work.
            order = fetch_module._Order(fetch_module.parse_source(MODEL), store, None, None)
            order.fetched(lambda _: None)
            return publish(store, staging, manifest)

        from pilotage.fetch import model as fetch_module

        monkeypatch.setattr(Store, "publish", late)
        with pytest.raises(IntegrityError, match=r"changed: config\.json"):
            fetch(MODEL, signature=by(owner, file=tmp_path / "here.sig"))

    def test_a_refused_model_is_not_fetched_again_once_the_right_key_is_named(
        self, hub, home, owner
    ):
        hub.add("org/model", {**FILES, "model.sig": owner.signs(FILES)})
        refusal(home, by(Owner(owner.folder, "other")))
        fetch(MODEL, signature=by(owner))
        weights = f"/org/model/resolve/{hub.repos['org/model'].refs['main']}/model.safetensors"
        assert [request.path for _, request in hub.origin.seen].count(weights) == 1


@needs_library
class TestOfOtherSources:
    @pytest.fixture
    def web(self, hub, monkeypatch):
        monkeypatch.setenv("PILOTAGE_FETCH_ALLOW", "127.0.0.1")
        return f"{hub.url}/plain"

    def test_a_manifest_on_a_web_server(self, hub, home, owner, web):
        files = {**FILES, "model.sig": owner.signs(FILES)}
        write_manifest(hub, files)
        model = fetch(f"{web}/manifest.json", signature=by(owner))
        assert {file.path for file in model.manifest.files} == {*files}
        less = {path: data for path, data in files.items() if path != "sub/tokenizer.json"}
        write_manifest(hub, less, "less/")
        said = refusal(home, by(owner), f"{web}/less/manifest.json")
        assert "signed, and missing: sub/tokenizer.json" in said

    def test_one_file_of_a_web_server(self, hub, home, owner, web, tmp_path):
        hub.plain["model.gguf"] = Blob.of(b"12345")
        assert "there is no model.sig" in refusal(home, by(owner), f"{web}/model.gguf")
        (tmp_path / "here.sig").write_bytes(owner.signs({"model.gguf": b"12345"}))
        check = by(owner, file=tmp_path / "here.sig")
        assert fetch(f"{web}/model.gguf", signature=check).path.name == "model.gguf"
        hub.plain["other/model.gguf"] = Blob.of(b"12346")
        assert "changed: model.gguf" in refusal(home, check, f"{web}/other/model.gguf")

    def test_one_file_of_a_hub_goes_by_its_own_path(self, hub, owner):
        files = {"model.gguf": b"12345"}
        hub.add("org/model", {**FILES, **files, "model.sig": owner.signs(files)})
        model = fetch(f"{MODEL}/*.gguf", signature=by(owner))
        assert model.path.name == "model.gguf"

    def test_a_swarm_takes_the_signature_too(self, owner):
        from pilotage.fetch.sources.hub import HubSource
        from pilotage.fetch.swarm.options import SwarmOptions
        from pilotage.fetch.swarm.source import SwarmSource

        source = SwarmSource.parse(
            f"swarm://{MODEL}",
            lambda uri, network: HubSource.parse(uri, network=network),
            options=SwarmOptions(),
        )
        taking = SignatureChecker(by(owner), source).origin
        assert isinstance(taking, SwarmSource)
        assert taking.uri == "hf://org/model@main#include=*&include=model.sig"
        assert taking.network is source.network


def write_manifest(hub, files, folder=""):
    listed = [
        {"path": path, "size": len(data), "sha256": Blob.of(data).sha256}
        for path, data in files.items()
    ]
    hub.plain |= {f"{folder}{path}": Blob.of(data) for path, data in files.items()}
    hub.plain[f"{folder}manifest.json"] = Blob.of(json.dumps({"files": listed}).encode())


@needs_library
class TestInPlace:
    def test_a_folder_is_used_where_it_lies(self, owner, tmp_path):
        root = write(tmp_path / "model", {**FILES, "model.sig": owner.signs(FILES)})
        write(root, {".git/HEAD": b"ref", ".gitattributes": b"*"})
        assert fetch(str(root), signature=by(owner)).path == root
        assert fetch(str(root), signature=by(owner, file=root / "model.sig")).path == root

    def test_links_are_followed_as_in_a_hub_clients_cache(self, owner, tmp_path):
        blobs = write(tmp_path / "blobs", {**FILES, "model.sig": owner.signs(FILES)})
        root = tmp_path / "snapshot"
        (root / "sub").mkdir(parents=True)
        for path in [*FILES, "model.sig"]:
            (root / path).symlink_to(blobs / path)
        assert fetch(str(root), signature=by(owner)).path == root
        assert fetch(str(root), signature=by(owner, file=root / "model.sig")).path == root

    @pytest.mark.parametrize("path", ["config.json", "extra.json", ".gitignore.json"])
    def test_it_was_changed(self, home, owner, tmp_path, path):
        root = write(tmp_path / "model", {**FILES, "model.sig": owner.signs(FILES), path: b"?"})
        assert path in refusal(home, by(owner), str(root))

    @pytest.mark.parametrize("how", [{}, {"hashing_algorithm": "blake3"}, {"shard_size": 1000}])
    def test_a_model_of_one_file(self, home, owner, tmp_path, how):
        (tmp_path / "here.sig").write_bytes(owner.signs({"model.gguf": b"12345"}, **how))
        check = by(owner, file=tmp_path / "here.sig")
        path = tmp_path / "other-name.gguf"
        path.write_bytes(b"12345")
        assert fetch(str(path), signature=check).path == path
        path.write_bytes(b"12346")
        assert "changed: " in refusal(home, check, str(path))
        assert "there is no model.sig" in refusal(home, by(owner), str(path))


@needs_library
class TestOfACertificate:
    def test_of_that_authority_and_no_other(self, hub, home, owner):
        ours, theirs = (authority(owner, name) for name in ("ours", "theirs"))
        signature = owner.signs(FILES, certificates=[ours.leaf, ours.root])
        hub.add("org/model", {**FILES, "model.sig": signature})
        said = refusal(home, SignatureCheck(SignedByCertificate((theirs.root,))))
        assert "the signature does not hold: " in said
        assert "the signature does not hold: " in refusal(home, by(owner))
        check = SignatureCheck(SignedByCertificate((ours.root,)))
        assert fetch(MODEL, signature=check).path.is_dir()
        hub.add("org/model", {**FILES, "config.json": b"{}", "model.sig": signature}, ref="v2")
        assert "changed: config.json" in refusal(home, check, revision="v2")

    def test_none_is_not_any(self, home, tmp_path):
        said = refusal(home, SignatureCheck(SignedByCertificate(())), kind=UsageError)
        assert "none was named" in said


class authority:  # noqa: N801 - a small factory
    """A certificate authority, and a signing certificate of it for a key."""

    def __init__(self, owner, name):
        key = ec.generate_private_key(ec.SECP256R1())
        self.root, self.leaf = (owner.folder / f"{name}-{kind}.pem" for kind in ("root", "leaf"))
        self.root.write_bytes(certificate(name, key.public_key(), name, key, ca=True))
        self.leaf.write_bytes(certificate("us", owner.key.public_key(), name, key, ca=False))


def certificate(subject, public_key, issuer, issuer_key, *, ca):
    now = datetime.datetime.now(datetime.UTC)
    usage = dict.fromkeys(
        (
            "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
            "encipher_only", "decipher_only",
        ),
        False,
    )  # fmt: skip
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1 if ca else 0))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=not ca, key_cert_sign=ca, crl_sign=ca, **usage),
            critical=True,
        )
        .sign(issuer_key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )


@needs_library
class TestBadInput:
    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (b"", "holds no public key of an elliptic curve in PEM form"),
            (b"ssh-ed25519 AAAA", "holds no public key"),
            (public_pem(rsa.generate_private_key(65537, 2048)), "holds no public key"),
            (public_pem(ec.generate_private_key(ec.SECP256K1())), "holds no public key"),
            (private_pem(ec.generate_private_key(ec.SECP256R1())), "holds no public key"),
        ],
    )
    def test_a_key_that_is_none(self, home, tmp_path, data, said):
        (tmp_path / "key.pem").write_bytes(data)
        check = SignatureCheck(SignedByKey(tmp_path / "key.pem"))
        assert said in refusal(home, check, kind=UsageError)

    def test_files_that_are_not_there(self, home, owner, tmp_path):
        gone = tmp_path / "gone"
        for signer in (SignedByKey(gone), SignedByCertificate((gone,))):
            said = refusal(home, SignatureCheck(signer), kind=UsageError)
            assert said == f"{gone}: cannot be read: No such file or directory"
        assert "no such signature file" in refusal(home, by(owner, file=gone), kind=UsageError)

    @pytest.mark.parametrize(
        "name", ["../model.sig", "*.sig", "modeling.py", "config.json", "", "a\\b.sig", ".sig/"]
    )
    def test_a_name_that_is_no_signatures(self, home, owner, name):
        assert "--signature: " in refusal(home, by(owner, file=name), kind=UsageError)

    def test_a_source_of_one_file_has_none_beside_it(self, home, owner):
        said = refusal(home, by(owner), "pypi://tiny==1.0/a.gguf", kind=UsageError)
        assert "has no signature beside it" in said
        assert "--signature ./model.sig" in said

    @pytest.mark.parametrize("proxy", ["HTTPS_PROXY", "https_proxy"])
    def test_keyless_without_the_network(self, home, monkeypatch, tmp_path, proxy):
        for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
            monkeypatch.setenv(name, str(tmp_path))
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.setenv(proxy, "http://127.0.0.1:1")
        signer = SignedByIdentity("us@example.org", "https://accounts.example.org")
        said = refusal(home, SignatureCheck(signer), kind=SourceError)
        assert said.startswith("signature by us@example.org: sigstore's root of trust cannot be")
        assert "--signed-by needs the network" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"identity": "us@example.org"}, "--signed-by and --issuer belong together"),
        ({"issuer": "https://example.org"}, "--signed-by and --issuer belong together"),
        ({"file": "model.sig"}, "a signature is checked against one signer"),
        ({"key": "k", "certificates": ["c"]}, "a signature is checked against one signer"),
        ({"key": "k", "identity": "u", "issuer": "i"}, "a signature is checked against one signer"),
    ],
)
def test_options_that_contradict_each_other(options, said):
    with pytest.raises(UsageError, match=said):
        SignatureCheck.of_options(**options)


def test_options_that_ask_for_a_check(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    of = SignatureCheck.of_options
    assert of() is None
    assert of(identity="u", issuer="i").signer == SignedByIdentity("u", "i")
    assert of(certificates=["a", "b"]).signer == SignedByCertificate(("a", "b"))
    files = [of(key="k", file=f).file for f in (None, "a.sig", "sub/a.sig", "./a.sig", "~/a.sig")]
    here = tmp_path / "a.sig"
    assert [str(f) for f in files] == ["model.sig", "a.sig", "sub/a.sig", "a.sig", str(here)]
    assert [isinstance(f, str) for f in files] == [True, True, True, False, False]


@pytest.mark.parametrize(
    ("flags", "check"),
    [
        ("", None),
        ("--signed-by-key k", SignatureCheck(SignedByKey(Path("k")))),
        (
            "--signed-by-certificate a --signed-by-certificate b --signature s/m.sig",
            SignatureCheck(SignedByCertificate((Path("a"), Path("b"))), "s/m.sig"),
        ),
        (
            "--signed-by us --issuer https://i --signature ./m.sig",
            SignatureCheck(SignedByIdentity("us", "https://i"), Path("m.sig")),
        ),
    ],
)
def test_the_commands_flags_reach_the_fetch(monkeypatch, flags, check):
    import pilotage.cli.fetch as command

    class Seen(Exception):
        pass

    def record(source, *, signature=None, **_):
        assert (source, signature) == ("hf://org/model", check)
        raise Seen

    monkeypatch.setattr(command, "fetch_model", record)
    done = CliRunner().invoke(app, ["fetch", "hf://org/model", *flags.split()])
    assert isinstance(done.exception, Seen)


def test_without_the_library_the_error_says_what_to_install(home, monkeypatch, tmp_path):
    for name in ("model_signing", "model_signing.hashing"):
        monkeypatch.setitem(sys.modules, name, None)
    (tmp_path / "model.gguf").write_bytes(b"12345")
    done = CliRunner().invoke(
        app, ["fetch", str(tmp_path / "model.gguf"), "--signed-by-key", "key.pem"]
    )
    assert isinstance(done.exception, PilotageError)
    assert str(done.exception) == (
        "a signature check needs model-signing, and model_signing is not installed. "
        "pip install 'pilotage[signing]'"
    )


def test_without_a_check_the_library_is_not_loaded(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"12345")
    code = (
        "import sys; from pilotage.fetch import fetch; fetch(sys.argv[1]); "
        "print([m for m in ('model_signing', 'sigstore', 'OpenSSL') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "model.gguf")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


@needs_library
def test_the_command_prints_the_path_alone(hub, owner, tmp_path):
    bundle = json.loads(owner.signs(FILES))
    del bundle["verificationMaterial"]["publicKey"]["hint"]  # the library prints a warning
    hub.add("org/model", {**FILES, "model.sig": json.dumps(bundle).encode()})
    command = [sys.executable, "-m", "pilotage.cli.main", "fetch", MODEL, "--signed-by-key"]
    done = subprocess.run(
        [*command, owner.public], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert line.startswith("/")
    other = Owner(tmp_path, "other")
    done = subprocess.run(
        [*command, other.public], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("error: hf://org/model@main#include=")
