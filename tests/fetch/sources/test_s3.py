"""``s3://`` against moto over HTTP: what is there, what may be read, and what is promised."""

from __future__ import annotations

import base64
import json
import logging
import shutil
import ssl
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from s3_fixtures import CONFIG, QUICK, TOKENIZER, WEIGHTS, bucket, moto, sha256  # noqa: F401
from s3_server import REFUSALS, FaultyS3, xml

from pilotage.errors import IntegrityError, PilotageError, SourceError, UsageError
from pilotage.fetch import fetch
from pilotage.fetch.sources.s3 import S3Source
from pilotage.fetch.sources.s3_sums import NAMES, Promise, read_sums
from pilotage.fetch.transfer import TransferOptions


def refusal(source, **rest):
    with pytest.raises(PilotageError) as error:
        fetch(source, network=QUICK, **rest)
    assert "s3cret" not in str(error.value.as_dict())
    return error.value


@pytest.fixture
def no_endpoint(monkeypatch):
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("uri", "canonical"),
    [
        ("s3://models/llama/8b", "s3://models/llama/8b"),
        ("s3://models/llama/8b/", "s3://models/llama/8b"),
        ("s3://models", "s3://models/"),
        ("s3://my.models/a b/c%23d", "s3://my.models/a%20b/c%23d"),
        ("s3://models/m.gguf?versionId=V1", "s3://models/m.gguf?versionId=V1"),
        ("s3://models/m#include=*.gguf", "s3://models/m#include=*.gguf"),
    ],
)
def test_uris_have_one_form(no_endpoint, uri, canonical):
    source = S3Source.parse(uri)
    assert source.uri == canonical
    assert S3Source.parse(canonical) == source
    assert source.in_place is None


@pytest.mark.parametrize(
    ("uri", "rest", "words"),
    [
        ("s3://", {}, "no bucket's name"),
        ("s3://a/b", {}, "no bucket's name"),
        ("s3://models..x/m", {}, "no bucket's name"),
        ("s3://AKIA:s3cret@models/m", {}, "no bucket's name"),
        ("s3://models/../m", {}, "cannot be stored safely"),
        ("s3://models//etc/passwd", {}, "cannot be stored safely"),
        ("s3://models/m?X-Amz-Signature=s3cret", {}, "query"),
        ("s3://models/m?versionId=a&x=s3cret", {}, "query"),
        ("s3://models/m?versionId=a", {"revision": "b"}, "two different versions"),
        ("s3://models", {"revision": "b"}, "a version is that of one object"),
        ("s3://models/m#md5=1", {}, "means nothing here"),
        ("s3://models/m#endpoint=https://evil.example", {}, "another endpoint"),
    ],
)
def test_malformed_uris_are_refused(no_endpoint, uri, rest, words):
    with pytest.raises(SourceError) as error:
        S3Source.parse(uri, **rest)
    assert words in error.value.message
    assert "s3cret" not in str(error.value.as_dict())


def test_another_endpoint_is_another_source(no_endpoint, monkeypatch):
    amazon = S3Source.parse("s3://models/m")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://minio:9000/")
    minio = S3Source.parse("s3://models/m")
    assert minio.uri == "s3://models/m#endpoint=http://minio:9000"
    assert minio != amazon
    assert S3Source.parse(minio.uri) == minio
    monkeypatch.setenv("AWS_ENDPOINT_URL", "minio:9000")
    with pytest.raises(SourceError, match="AWS_ENDPOINT_URL must be"):
        S3Source.parse("s3://models/m")


def test_a_folder_comes_whole_and_is_asked_for_once(bucket):  # noqa: F811
    bucket.keep_versions()
    bucket.model()
    bucket.put("m/", b"")
    bucket.put("m2/other.json", b"{}")
    model = fetch(f"{bucket.uri}/m", network=QUICK)
    assert {file.path: file.sha256 for file in model.manifest.files} == {
        "config.json": sha256(CONFIG),
        "model.safetensors": sha256(WEIGHTS),
        "sub/tokenizer.model": sha256(TOKENIZER),
    }
    assert (model.path / "model.safetensors").read_bytes() == WEIGHTS
    parts = [r for r in bucket.proxy.asked("get") if "model.safetensors" in r.target]
    assert len({r.headers["range"] for r in parts}) == len(parts) == 5
    assert len({r.headers["if-match"] for r in parts}) == 1
    assert all("versionId=" in r.target for r in parts)
    asked = len(bucket.proxy.seen)
    assert fetch(f"{bucket.uri}/m/", network=QUICK).from_cache
    assert len(bucket.proxy.seen) == asked


def test_the_id_stays_until_an_object_changes(bucket):  # noqa: F811
    bucket.model()
    source = S3Source.parse(f"{bucket.uri}/m", network=QUICK)
    first = source.resolve()
    assert source.resolve() == first
    bucket.put("m/config.json", CONFIG + b" ")
    assert source.resolve().id != first.id


def test_parts_share_connections(bucket):  # noqa: F811
    bucket.put("m.gguf", WEIGHTS)
    transfer = TransferOptions(threads=2, part_bytes=10_000)
    fetch(f"{bucket.uri}/m.gguf", network=replace(QUICK, transfer=transfer))
    assert len([r for r in bucket.proxy.asked("get") if "range" in r.headers]) == 30
    assert bucket.proxy.connections <= 4, "those of resolve, and one a thread"


def test_a_fetch_goes_on_where_it_failed(bucket):  # noqa: F811
    bucket.put("m.gguf", WEIGHTS)
    source = f"{bucket.uri}/m.gguf"
    bucket.proxy.fault = lambda r: "denied" if "bytes=196608-" in r.headers.get("range", "") else ""
    one_by_one = replace(QUICK, transfer=replace(QUICK.transfer, threads=1))
    with pytest.raises(SourceError, match="denied"):
        fetch(source, network=one_by_one)
    bucket.proxy.fault = lambda _: None
    del bucket.proxy.seen[:]
    assert fetch(source, network=one_by_one).path.read_bytes() == WEIGHTS
    ranges = [r.headers["range"] for r in bucket.proxy.asked("get") if "range" in r.headers]
    assert ranges == ["bytes=196608-262143", "bytes=262144-299999"]


def test_certificates_are_checked(bucket, moto, tmp_path, monkeypatch):  # noqa: F811
    if shutil.which("openssl") is None:
        pytest.skip("the certificate is made with openssl")
    new = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key -out pem"
    name = ["-subj", "/CN=here", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(["openssl", *new.split(), *name], cwd=tmp_path, check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "pem", tmp_path / "key")
    proxy = FaultyS3(moto.port, tls)
    try:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
        bucket.put("m.gguf", WEIGHTS)
        assert "certificate is refused" in refusal(f"{bucket.uri}/m.gguf").message
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "pem"))
        assert fetch(f"{bucket.uri}/m.gguf", network=QUICK).path.read_bytes() == WEIGHTS
    finally:
        proxy.stop()


def test_a_manifest_of_an_older_resolve_is_refused(bucket, tmp_path):  # noqa: F811
    bucket.model()
    source = S3Source.parse(f"{bucket.uri}/m", network=QUICK)
    old = source.resolve()
    bucket.put("m/config.json", CONFIG + b" ")
    fresh = S3Source.parse(f"{bucket.uri}/m", network=QUICK)
    with pytest.raises(SourceError, match="have changed"):
        fresh.fetch(old, tmp_path, tmp_path, lambda _: None)


def test_listings_of_many_pages(bucket):  # noqa: F811
    for number in range(12):
        bucket.put(f"m/{number:02}.json", b"{}")
    bucket.put("m/model.gguf", WEIGHTS, ChecksumAlgorithm="SHA256")
    manifest = S3Source.parse(f"{bucket.uri}/m", network=QUICK).resolve()
    assert len(manifest.files) == 13
    assert len(bucket.proxy.asked("list")) == 3


@pytest.mark.slow
def test_more_than_a_thousand_keys(bucket):  # noqa: F811
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: bucket.put(f"m/{n:04}.json", b"{}"), range(1_005)))
    bucket.put("m/model.gguf", WEIGHTS)
    source = S3Source.parse(f"{bucket.uri}/m#include=*.gguf", network=QUICK)
    assert [file.path for file in source.resolve().files] == ["model.gguf"]


def test_one_object_and_its_version(bucket):  # noqa: F811
    bucket.keep_versions()
    bucket.put("m/model.gguf", WEIGHTS)
    old = bucket.s3.head_object(Bucket=bucket.name, Key="m/model.gguf")["VersionId"]
    bucket.put("m/model.gguf", b"newer")
    assert fetch(f"{bucket.uri}/m/model.gguf", network=QUICK).path.read_bytes() == b"newer"
    for source, revision in ((f"?versionId={old}", None), ("", old)):
        model = fetch(f"{bucket.uri}/m/model.gguf{source}", revision=revision, network=QUICK)
        assert model.path.read_bytes() == WEIGHTS
        assert model.path.name == "model.gguf"


def test_an_upload_in_parts_has_no_digest_but_the_one_beside_it(bucket, caplog):  # noqa: F811
    named = {"Bucket": bucket.name, "Key": "m/model.gguf"}
    upload = bucket.s3.create_multipart_upload(**named, ChecksumAlgorithm="SHA256")["UploadId"]
    parts = []
    for number, start in enumerate((0, 100_000, 200_000), 1):
        part = bucket.s3.upload_part(
            **named,
            UploadId=upload,
            PartNumber=number,
            Body=WEIGHTS[start : start + 100_000],
            ChecksumAlgorithm="SHA256",
        )
        told = {name: part[name] for name in ("ETag", "ChecksumSHA256")}
        parts.append({"PartNumber": number, **told})
    done = {"Parts": parts}
    bucket.s3.complete_multipart_upload(**named, UploadId=upload, MultipartUpload=done)
    source = S3Source.parse(f"{bucket.uri}/m/model.gguf", network=QUICK)
    assert source.resolve().files[0].sha256 is None
    with caplog.at_level(logging.WARNING):
        assert fetch(source.uri, network=QUICK).path.read_bytes() == WEIGHTS
    assert "trusted: model.gguf" in caplog.text
    bucket.put("m/SHA256SUMS", f"{sha256(WEIGHTS)}  model.gguf\n".encode())
    assert source.resolve().files[0].sha256 == sha256(WEIGHTS)


@pytest.mark.parametrize("name", NAMES)
def test_digests_beside_the_files(bucket, name):  # noqa: F811
    bucket.model(algorithm="CRC32")
    sums = {"config.json": sha256(CONFIG), "model.safetensors": sha256(WEIGHTS)}
    listed = [{"path": path, "sha256": digest} for path, digest in sums.items()]
    lines = "".join(f"{digest} *./{path}\n" for path, digest in sums.items())
    bucket.put(f"m/{name}", (json.dumps({"files": listed}) if "j" in name else lines).encode())
    files = S3Source.parse(f"{bucket.uri}/m", network=QUICK).resolve().files
    found = {file.path: file.sha256 for file in files if file.sha256 is not None}
    assert found == sums


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"path": "config.json", "sha256": "0" * 64}, "is not the file that was named"),
        ({"path": "config.json", "sha256": sha256(CONFIG), "size": 1}, "23 bytes where 1"),
        ({"path": "lost.json", "sha256": "0" * 64}, "upload is not whole"),
    ],
)
def test_digests_that_do_not_hold_stop_it_before_the_first_byte(bucket, entry, words):  # noqa: F811
    bucket.model()
    bucket.put("m/manifest.json", json.dumps({"files": [entry]}).encode())
    error = refusal(f"{bucket.uri}/m")
    assert words in error.message
    assert not [r for r in bucket.proxy.asked("get") if "manifest.json" not in r.target]


@given(st.sampled_from(NAMES), st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_file_of_digests_is_too_odd_to_read(name, data):
    for path, promise in read_sums(name, data).items():
        assert path
        assert len(promise.sha256) == 64


@given(
    st.lists(
        st.none()
        | st.integers()
        | st.dictionaries(
            st.sampled_from(["path", "size", "sha256"]),
            st.none() | st.integers() | st.text() | st.just("A" * 64),
        )
    )
)
def test_manifests_of_other_programs_promise_nothing_odd(entries):
    for promise in read_sums("manifest.json", json.dumps({"files": entries}).encode()).values():
        assert promise == Promise("a" * 64, promise.size)


def test_a_sha256_may_be_named_for_one_object(bucket):  # noqa: F811
    bucket.put("m/model.gguf", WEIGHTS)
    named = f"{bucket.uri}/m/model.gguf#sha256="
    assert fetch(named + sha256(WEIGHTS), network=QUICK).path.read_bytes() == WEIGHTS
    assert isinstance(refusal(named + "0" * 64), IntegrityError)
    assert "one object" in refusal(f"{bucket.uri}/m#sha256={'0' * 64}").message


def test_the_checksum_that_uploaders_leave_is_held_against_what_came(bucket, caplog):  # noqa: F811
    bucket.put("m/model.gguf", WEIGHTS)
    crc = base64.b64encode(zlib.crc32(WEIGHTS).to_bytes(4, "big")).decode()
    bucket.proxy.extra = {"x-amz-checksum-crc32": crc, "x-amz-checksum-type": "FULL_OBJECT"}
    bucket.proxy.fault = lambda r: "corrupt" if "range" in r.headers else None
    error = refusal(f"{bucket.uri}/m/model.gguf")
    assert isinstance(error, IntegrityError)
    assert "CRC-32" in error.message
    bucket.proxy.fault = lambda _: None
    assert fetch(f"{bucket.uri}/m/model.gguf", network=QUICK).path.read_bytes() == WEIGHTS


def test_what_runs_code_is_refused_by_default(bucket):  # noqa: F811
    bucket.put("p/pytorch_model.bin", b"pickle")
    bucket.put("p/config.json", CONFIG)
    assert "can run code" in refusal(f"{bucket.uri}/p").message
    bucket.model("r")
    bucket.put("r/config.json", b'{"auto_map": {"AutoModel": "modeling.Model"}}')
    error = refusal(f"{bucket.uri}/r")
    assert "modeling.Model" in error.message
    assert error.where == S3Source.parse(f"{bucket.uri}/r").uri
    assert not [r for r in bucket.proxy.asked("get") if "model.safetensors" in r.target]


@pytest.mark.parametrize("name", ["a\\b.json", "c:d.json", "e\x07.json"])
def test_hostile_names_are_refused(bucket, name):  # noqa: F811
    bucket.model()
    listing = (
        "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>m/"
        f"{name.replace(chr(7), '%07')}</Key><Size>2</Size></Contents>"
        "<EncodingType>url</EncodingType></ListBucketResult>"
    )
    bucket.proxy.fault = lambda r: (200, listing.encode(), {}) if r.kind == "list" else None
    error = refusal(f"{bucket.uri}/m")
    assert "cannot be stored safely" in error.message
    assert error.where


@pytest.mark.parametrize(
    ("truncated", "key"), [("true", "m/x.gguf"), ("false", "elsewhere/x.gguf")]
)
def test_hostile_listings_are_refused(bucket, truncated, key):  # noqa: F811
    listing = (
        f"<ListBucketResult><IsTruncated>{truncated}</IsTruncated><Contents><Key>{key}</Key>"
        "<Size>2</Size></Contents><NextContinuationToken>again</NextContinuationToken>"
        "</ListBucketResult>"
    )
    bucket.proxy.fault = lambda r: (200, listing.encode(), {}) if r.kind == "list" else None
    assert "does not answer as S3 does" in refusal(f"{bucket.uri}/m").message
    assert len(bucket.proxy.asked("list")) <= 2


def test_nothing_there(bucket):  # noqa: F811
    assert "no bucket 'nowhere-1'" in refusal("s3://nowhere-1/m").message
    assert "bucket is empty" in refusal(bucket.uri).message
    assert "no such key" in refusal(f"{bucket.uri}/none").message
    bucket.keep_versions()
    bucket.put("m.gguf", WEIGHTS)
    absent = refusal(f"{bucket.uri}/m.gguf?versionId=00000000-0000-0000-0000-000000000000")
    assert "no such" in absent.message
    assert "one file" in refusal(f"{bucket.uri}/m.gguf", include=["*.gguf"]).message


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("denied", "s3:GetObject"),
        ("expired", "session token has expired"),
        ("unknown_key", "AWS_ACCESS_KEY_ID"),
        ("bad_secret", "secret key does not belong"),
        ("skewed", "clock"),
        ("archived", "Glacier"),
        ("kms", "kms:Decrypt"),
        ("region", "AWS_REGION=eu-west-3"),
        ("html", "web page"),
    ],
)
def test_refusals_say_what_to_do(bucket, fault, words):  # noqa: F811
    bucket.put("m.gguf", WEIGHTS)
    assert fault in REFUSALS
    bucket.proxy.fault = lambda r: fault if r.kind == "get" else None
    error = refusal(f"{bucket.uri}/m.gguf")
    assert words in str(error)
    assert len(bucket.proxy.asked("get")) <= 6, "what does not pass is not tried again"


@pytest.mark.parametrize(
    ("fault", "words"), [("expired", "token has expired"), ("bad_secret", "secret key")]
)
def test_heads_do_not_say_why_and_are_asked_about(bucket, fault, words):  # noqa: F811
    bucket.put("m.gguf", WEIGHTS)
    bucket.proxy.fault = lambda _: fault
    assert words in refusal(f"{bucket.uri}/m.gguf").message


def test_a_listing_that_is_denied(bucket):  # noqa: F811
    bucket.model()
    bucket.proxy.fault = lambda r: "denied" if r.kind == "list" else None
    assert "need s3:ListBucket" in str(refusal(f"{bucket.uri}/m"))


def test_credentials_that_may_not_read_versions_do_with_the_etag(bucket):  # noqa: F811
    bucket.keep_versions()
    bucket.model()
    bucket.proxy.fault = lambda r: "denied" if "versionId=" in r.target else None
    model = fetch(f"{bucket.uri}/m", network=QUICK)
    assert (model.path / "model.safetensors").read_bytes() == WEIGHTS


def test_a_prefix_of_a_bucket_that_says_403_of_missing_keys(bucket):  # noqa: F811
    bucket.model()
    bucket.proxy.fault = lambda r: (403, b"", {}) if r.target.endswith("/m") else None
    assert len(S3Source.parse(f"{bucket.uri}/m", network=QUICK).resolve().files) == 3


def test_an_archived_object_is_refused_before_the_first_byte(bucket):  # noqa: F811
    bucket.model()
    bucket.proxy.extra = {"x-amz-storage-class": "DEEP_ARCHIVE"}
    assert "archived" in refusal(f"{bucket.uri}/m").message
    assert not bucket.proxy.asked("get")


def test_without_credentials(bucket, monkeypatch):  # noqa: F811
    bucket.put("m.gguf", WEIGHTS, ACL="public-read")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    error = refusal(f"{bucket.uri}/m.gguf")
    assert error.message == "there are no AWS credentials"
    monkeypatch.setenv("AWS_NO_SIGN_REQUEST", "1")
    assert fetch(f"{bucket.uri}/m.gguf", network=QUICK).path.read_bytes() == WEIGHTS
    assert not any("authorization" in r.headers for r in bucket.proxy.seen)
    bucket.proxy.fault = lambda _: (403, xml("AccessDenied"), {})
    assert "denied to the public" in refusal(f"{bucket.uri}/other.gguf").message


def test_nothing_secret_is_logged(bucket, monkeypatch, caplog):  # noqa: F811
    monkeypatch.setenv("AWS_SESSION_TOKEN", "s3cret-token")
    bucket.put("m.gguf", WEIGHTS)
    with caplog.at_level(logging.DEBUG):
        fetch(f"{bucket.uri}/m.gguf", network=QUICK)
    assert all("s3cret-token" in r.headers["x-amz-security-token"] for r in bucket.proxy.seen)
    assert "s3cret" not in caplog.text
    assert "AWS4-HMAC" not in caplog.text


def test_settings_that_cannot_be_used(bucket, monkeypatch, tmp_path):  # noqa: F811
    bucket.put("m.gguf", WEIGHTS)
    source = f"{bucket.uri}/m.gguf"
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "boto3", None)
        error = refusal(source)
        assert isinstance(error, UsageError)
        assert error.hint == "pip install 'pilotage[aws]'"
    with monkeypatch.context() as patch:
        patch.setenv("AWS_PROFILE", "none")
        assert "AWS_PROFILE" in str(refusal(source))
    with monkeypatch.context() as patch:
        patch.delenv("REQUESTS_CA_BUNDLE", raising=False)
        patch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
        assert "SSL_CERT_FILE" in refusal(source).message
    with monkeypatch.context() as patch:
        settings = tmp_path / "config"
        settings.write_text(f"[default]\nendpoint_url = {bucket.proxy.url}\n")
        patch.setenv("AWS_CONFIG_FILE", str(settings))
        patch.delenv("AWS_ENDPOINT_URL")
        assert refusal(source).hint == f"Set AWS_ENDPOINT_URL={bucket.proxy.url}"
    bucket.proxy.stop()
    assert "refuses the connection" in refusal(source).message
