"""``https://`` against a web server: digests, manifests, trust on first use, hostile servers."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import json
import logging
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hub_origin import Hub
from odd_origin import PAGE, Blob

from pilotage.errors import IntegrityError, PilotageError, SourceError
from pilotage.fetch import fetch, parse_source
from pilotage.fetch.http import Timeouts
from pilotage.fetch.origin import ChangedError
from pilotage.fetch.retry import RetryPolicy
from pilotage.fetch.sources.network import Network
from pilotage.fetch.transfer import TransferOptions

DATA = Blob(400_000, seed=4)
SIGNED = "?X-Amz-Signature=s3cret"
QUICK = Network(
    timeouts=Timeouts(connect_s=0.5, idle_s=0.5, head_s=1.0),
    retry=RetryPolicy(attempts=2, base_s=0.01, cap_s=0.02, budget_s=2.0),
    transfer=TransferOptions(stall_s=0.4, deadline_s=10.0, part_bytes=100_000),
)


@pytest.fixture
def web(monkeypatch, home):
    monkeypatch.setenv("PILOTAGE_FETCH_ALLOW", "127.0.0.1")
    with Hub() as hub:
        hub.plain["m/model.gguf"] = DATA
        hub.base = f"{hub.url}/plain/m"
        hub.file = f"{hub.base}/model.gguf"
        yield hub


def refusal(source, **rest):
    with pytest.raises(PilotageError) as error:
        fetch(source, network=QUICK, **rest)
    assert "s3cret" not in str(error.value.as_dict())
    return error.value


def published(home):
    return list((home / "models").iterdir()) if (home / "models").exists() else []


def test_a_file_that_is_named_by_its_digest(web, caplog):
    for source, digest in ((f"{web.file}#sha256={DATA.sha256}", None), (web.file, DATA.sha256)):
        model = fetch(source, sha256=digest, network=QUICK)
        assert model.path.name == "model.gguf"
        assert model.path.read_bytes() == DATA.bytes()
        assert not model.from_cache
        seen = len(web.origin.seen)
        assert fetch(source, sha256=digest).from_cache
        assert len(web.origin.seen) == seen
    assert caplog.records == []


def test_a_file_with_another_digest_is_not_published(web, home):
    wrong = "0" * 64
    error = refusal(f"{web.file}#sha256={wrong}")
    assert isinstance(error, IntegrityError)
    assert wrong in error.message
    assert DATA.sha256 in error.message
    assert published(home) == []


def test_trust_on_first_use_is_said_aloud_and_remembered(web, caplog):
    model = fetch(web.file)
    (record,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert "no digest was given" in record.getMessage()
    assert f"#sha256={DATA.sha256}" in record.getMessage()
    assert model.manifest.files[0].sha256 == DATA.sha256
    assert model.manifest.id == f'etag "{DATA.git_sha1}"'
    # The copy is damaged, and the server has another file by now.
    web.plain["m/model.gguf"] = Blob(DATA.size, seed=5)
    model.path.chmod(0o644)
    model.path.write_bytes(b"damaged")
    for blob in (model.home / "blobs").rglob("*"):
        if blob.is_file():
            blob.unlink()
    error = refusal(web.file)
    assert isinstance(error, IntegrityError)
    assert DATA.sha256 in error.message
    web.plain["m/model.gguf"] = DATA
    assert fetch(web.file).path.read_bytes() == DATA.bytes()


def test_signatures_are_sent_and_nowhere_written(web, home):
    model = fetch(web.file + SIGNED)
    assert all(r.query == {"X-Amz-Signature": "s3cret"} for _, r in web.origin.seen)
    assert "#query=" in model.manifest.source
    for path in home.rglob("*"):
        assert "s3cret" not in str(path)
        if path.is_file():
            assert b"s3cret" not in path.read_bytes()
    assert "s3cret" not in repr(parse_source(web.file + SIGNED))
    assert fetch(model.manifest.source).from_cache  # without the signature
    other = parse_source(web.file + "?X-Amz-Signature=other")
    assert other.uri != model.manifest.source


@pytest.mark.parametrize(
    ("uri", "canonical"),
    [
        ("HTTPS://Host:443/a/b.gguf", "https://host/a/b.gguf"),
        ("https://h/m.gguf#sha256=" + "A" * 64, "https://h/m.gguf#sha256=" + "a" * 64),
        (f"https://h/m.gguf?q=1#sha256={'a' * 64}", "https://h/m.gguf#sha256=" + "a" * 64),
        ("https://h/manifest.json#include=a*", "https://h/manifest.json#include=a*"),
        ("https://h/%C3%A9.gguf", "https://h/%C3%A9.gguf"),
    ],
)
def test_uris_are_brought_to_one_form(uri, canonical):
    source = parse_source(uri)
    assert source.uri == canonical
    assert parse_source(canonical).uri == canonical
    assert source.in_place is None


def test_a_web_server_has_no_revisions():
    with pytest.raises(SourceError, match="no revisions"):
        parse_source("https://h/m.gguf", revision="v1")


def manifest(web, files, name="manifest.json", **extra):
    listed = [
        {"path": path, "size": blob.size, "sha256": blob.sha256, **extra}
        for path, blob in files.items()
    ]
    data = json.dumps({"files": listed}).encode()
    web.plain[f"m/{name}"] = Blob.of(data)
    for path, blob in files.items():
        web.plain[f"m/{path}"] = blob
    return hashlib.sha256(data).hexdigest()


FILES = {"config.json": Blob.of(b"{}"), "w/model 1.safetensors": Blob(70_000, seed=6)}


@pytest.mark.parametrize("name", ["manifest.json", "v1.manifest.json"])
def test_a_manifest_names_files_beside_it(web, name, caplog):
    digest = manifest(web, FILES, name)
    model = fetch(f"{web.base}/{name}#sha256={digest}")
    assert model.manifest.id == f"sha256:{digest}"
    for path, blob in FILES.items():
        assert (model.path / path).read_bytes() == blob.bytes()
    assert caplog.records == []
    model = fetch(f"{web.base}/{name}", include=["w/"])
    assert model.path.name == "model 1.safetensors"
    assert f"give #sha256={digest}" in caplog.text


def test_another_manifest_than_the_named_one_is_refused(web, home):
    manifest(web, FILES)
    error = refusal(f"{web.base}/manifest.json#sha256={'0' * 64}")
    assert isinstance(error, IntegrityError)
    assert "the manifest is not the one that was named" in error.message
    assert published(home) == []


def test_a_file_that_is_not_what_the_manifest_says_is_not_published(web, home):
    manifest(web, FILES)
    web.plain["m/w/model 1.safetensors"] = Blob(70_000, seed=7)
    error = refusal(f"{web.base}/manifest.json")
    assert isinstance(error, IntegrityError)
    assert "w/model 1.safetensors" in error.message
    assert published(home) == []


SHA = "a" * 64


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ([], "lists no files"),
        ({"files": []}, "lists no files"),
        ({"files": [1]}, "something that is no file"),
        ({"files": [{"path": "../../etc/passwd", "size": 1, "sha256": SHA}]}, "stored safely"),
        ({"files": [{"path": "/etc/passwd", "size": 1, "sha256": SHA}]}, "stored safely"),
        ({"files": [{"size": 1, "sha256": SHA}]}, "stored safely"),
        ({"files": [{"path": "a", "sha256": SHA}]}, "gives no size"),
        ({"files": [{"path": "a", "size": -1, "sha256": SHA}]}, "gives no size"),
        ({"files": [{"path": "a", "size": 1}]}, "gives no sha256"),
        ({"files": [{"path": "a", "size": 1, "sha256": "../x"}]}, "gives no sha256"),
        ({"files": [{"path": "a", "size": 1, "sha256": SHA}] * 2}, "names 'a' twice"),
        ({"files": [{"path": "a.pt", "size": 1, "sha256": SHA}]}, "can run code"),
    ],
)
def test_a_manifest_is_not_trusted(web, home, data, reason):
    web.plain["m/manifest.json"] = Blob.of(json.dumps(data).encode())
    error = refusal(f"{web.base}/manifest.json")
    assert reason in error.message
    assert str(error).startswith(web.base)
    assert published(home) == []


def test_a_manifest_that_is_no_json_is_said(web):
    web.plain["m/manifest.json"] = Blob.of(b"{")
    assert "not JSON" in refusal(f"{web.base}/manifest.json").message


def test_remote_code_in_a_manifest_is_refused(web, home):
    config = Blob.of(b'{"auto_map": {"AutoModel": "m.M"}}')
    manifest(web, {**FILES, "config.json": config})
    assert "has engines run Python" in refusal(f"{web.base}/manifest.json").message
    assert published(home) == []
    assert fetch(f"{web.base}/manifest.json", include=["*", "config.json"]).path.is_dir()


def test_no_such_file(web):
    error = refusal(f"{web.base}/none.gguf{SIGNED}")
    assert error.message == "there is no such file"


def test_a_page_instead_of_a_file_is_refused(web, home):
    web.fault("html")
    for digest in (None, DATA.sha256):
        error = refusal(web.file, sha256=digest)
        assert "a web page came instead of" in error.message
        assert "proxy" in error.hint
    assert published(home) == []


def test_a_page_that_says_it_is_none_is_refused(web, home):
    web.plain["m/model.gguf"] = Blob.of(b"\xef\xbb\xbf\n " + PAGE)
    assert "a web page came instead of model.gguf" in refusal(web.file).message
    assert published(home) == []


def test_a_file_that_changes_meanwhile_is_refused(web, home):
    web.fault(
        "change",
        on="plain",
        skip=2,
        times=1,
        value=lambda: web.plain.update({"m/model.gguf": Blob(DATA.size, seed=9)}),
    )
    error = refusal(web.file)
    assert isinstance(error, ChangedError)
    assert published(home) == []


@pytest.mark.parametrize("etag", ['W/"weak"', "../../x", '"' + "e" * 5000 + '"', '"a\tb"', None])
def test_etags_are_not_trusted(web, etag):
    web.fault("headers", on="plain", value={"ETag": etag})
    model = fetch(web.file)
    assert model.path.read_bytes() == DATA.bytes()
    assert model.manifest.id == f"size {DATA.size}"


def test_servers_without_ranges_and_empty_files_are_served(web):
    web.plain["m/empty.gguf"] = Blob.of(b"")
    assert fetch(f"{web.base}/empty.gguf").path.read_bytes() == b""
    web.fault("no-ranges", on="plain")
    assert fetch(web.file, network=QUICK).path.read_bytes() == DATA.bytes()


def test_a_server_that_tells_no_size_is_refused(web):
    web.fault("headers", on="plain", value={"Content-Range": "bytes 0-0/*"})
    assert "does not say how large" in refusal(web.file).message


def test_private_addresses_are_refused_unless_they_are_allowed(web, monkeypatch):
    monkeypatch.delenv("PILOTAGE_FETCH_ALLOW")
    port = web.origin.port
    for host in ("127.0.0.1", "localhost", "2130706433", "[::1]", "169.254.169.254"):
        error = refusal(f"https://{host}:{port}/plain/m/model.gguf")
        assert "may not reach by default" in error.message
        assert "PILOTAGE_FETCH_ALLOW" in error.hint
    assert "plain http is refused" in refusal("http://example.com/model.gguf").message
    assert web.origin.seen == []


def test_redirects_into_the_private_network_are_refused(web):
    web.fault("redirect", value="https://169.254.169.254/latest/meta-data/")
    error = refusal(web.file)
    assert "169.254.169.254" in str(error)
    assert "may not reach by default" in error.message


@pytest.fixture
def tls(tmp_path, monkeypatch):
    """A certificate for 127.0.0.1 that signs itself; a client believes it by SSL_CERT_FILE."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "here")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    file = tmp_path / "here.pem"
    file.write_bytes(certificate.public_bytes(pem))
    chain = tmp_path / "chain.pem"
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    chain.write_bytes(secret + certificate.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return context, file


def test_tls_is_verified(tls, monkeypatch, home):
    context, certificate = tls
    monkeypatch.setenv("PILOTAGE_FETCH_ALLOW", "127.0.0.0/8")
    with Hub(tls=context) as hub:
        hub.plain["model.gguf"] = DATA
        source = f"{hub.url}/plain/model.gguf#sha256={DATA.sha256}"
        assert "the server's certificate is refused" in refusal(source).message
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert fetch(source, network=QUICK).path.read_bytes() == DATA.bytes()
        away = f"http://127.0.0.1:{hub.cdn.port}/x"
        hub.fault("redirect", value=away)
        assert "from https to plain http" in refusal(f"{hub.url}/plain/other.gguf").message
