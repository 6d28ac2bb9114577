"""The matrix of sources and faults, rows of ``s3://``: verified bytes, or a clear error.

moto is the origin, in a process of its own; a proxy before it breaks what it is told.
"""

from __future__ import annotations

import json

import pytest
from s3_fixtures import CONFIG, HASTY, QUICK, TOKENIZER, WEIGHTS, bucket, moto  # noqa: F401
from s3_server import Request

from pilotage.errors import IntegrityError, PilotageError
from pilotage.fetch import fetch
from pilotage.fetch.origin import ChangedError

PASSING = ["slow_down", "later", "500", "429", "timeout_400", "html_503", "truncate", "reset"]
SLOW = pytest.mark.slow
REFUSED = ["denied", "expired", "unknown_key", "bad_secret", "skewed", "kms", "region", "html"]
LASTING = [
    *PASSING,
    *REFUSED,
    pytest.param("stall", marks=SLOW),
    "empty",
    "corrupt",
    "other_range",
    "no_head_fields",
    "gone",
]


def check_whole(model):
    files = {"config.json": CONFIG, "model.safetensors": WEIGHTS, "sub/tokenizer.model": TOKENIZER}
    assert {file.path for file in model.manifest.files} == set(files)
    for path, data in files.items():
        assert (model.path / path).read_bytes() == data


def check_clear(error, home):
    """One error of ours, without secrets and without boto3's words; nothing in the cache."""
    published = list((home / "models").iterdir()) if (home / "models").exists() else []
    assert published == []
    told = json.dumps(error.as_dict())
    assert "s3cret" not in told
    assert error.where and error.message and "Traceback" not in told
    assert "boto" not in told.lower()


@pytest.mark.parametrize("fault", PASSING)
def test_what_passes_is_waited_out(bucket, fault):  # noqa: F811
    bucket.model()
    left = {"list": 2, "head": 2, "get": 2}

    def twice(request: Request):
        if not left[request.kind]:
            return None
        left[request.kind] -= 1
        return fault

    bucket.proxy.fault = twice
    check_whole(fetch(f"{bucket.uri}/m", network=QUICK))
    assert not any(left.values())


@pytest.mark.parametrize("fault", LASTING)
def test_what_lasts_is_a_clear_error(bucket, home, fault):  # noqa: F811
    bucket.model()
    bucket.proxy.fault = lambda request: fault if request.kind == "get" else None
    with pytest.raises(PilotageError) as raised:
        fetch(f"{bucket.uri}/m", network=HASTY if fault == "stall" else QUICK)
    check_clear(raised.value, home)


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        *(("list", fault) for fault in ("denied", "expired", "region", "html", "slow_down")),
        *(("list", fault) for fault in ("truncate", "stall", "empty")),
        *(("head", fault) for fault in ("denied", "gone")),
        *(pytest.param("head", fault, marks=SLOW) for fault in ("slow_down", "truncate")),
    ],
)
def test_what_lasts_while_it_is_resolved(bucket, home, fault, kind):  # noqa: F811
    bucket.model()
    bucket.proxy.fault = lambda request: (
        fault if request.kind == kind and not request.target.endswith("/m") else None
    )
    with pytest.raises(PilotageError) as raised:
        fetch(f"{bucket.uri}/m", network=HASTY if fault == "stall" else QUICK)
    check_clear(raised.value, home)
    # At most a byte: to hear why a HEAD was refused.
    assert {r.headers.get("range") for r in bucket.proxy.asked("get")} <= {"bytes=0-0"}


def test_a_part_that_stalls_is_asked_for_again(bucket):  # noqa: F811
    bucket.model()
    stalled = []

    def once(request: Request):
        if "bytes=131072-" not in request.headers.get("range", "") or stalled:
            return None
        stalled.append(request)
        return "stall"

    bucket.proxy.fault = once
    check_whole(fetch(f"{bucket.uri}/m", network=HASTY))
    assert stalled


def test_a_corrupt_part_is_found_and_fetched_again(bucket):  # noqa: F811
    bucket.model()
    spoilt = []

    def once(request: Request):
        if "bytes=65536-" not in request.headers.get("range", "") or spoilt:
            return None
        spoilt.append(request)
        return "corrupt"

    bucket.proxy.fault = once
    check_whole(fetch(f"{bucket.uri}/m", network=QUICK))
    again = [r for r in bucket.proxy.asked("get") if "bytes=65536-" in r.headers["range"]]
    assert len(again) > 1


def test_corruption_that_stays_is_never_published(bucket, home):  # noqa: F811
    bucket.model()
    bucket.proxy.fault = lambda request: "corrupt" if request.kind == "get" else None
    with pytest.raises(IntegrityError) as raised:
        fetch(f"{bucket.uri}/m", network=QUICK)
    check_clear(raised.value, home)
    assert "config.json" in raised.value.message


def test_an_endpoint_without_ranges_gives_whole_files(bucket):  # noqa: F811
    bucket.model()
    bucket.proxy.fault = lambda request: "ignore_range" if request.kind == "get" else None
    check_whole(fetch(f"{bucket.uri}/m", network=QUICK))


@pytest.mark.parametrize("fault", [None, "ignore_if_match"])
def test_an_object_that_changes_meanwhile(bucket, home, fault):  # noqa: F811
    bucket.model()
    newer = bytes(reversed(WEIGHTS))

    def overwrite(request: Request):
        if "bytes=131072-" in request.headers.get("range", ""):
            bucket.put("m/model.safetensors", newer)

    bucket.proxy.before = overwrite
    bucket.proxy.fault = lambda _: fault
    with pytest.raises(ChangedError) as raised:
        fetch(f"{bucket.uri}/m", network=QUICK)
    check_clear(raised.value, home)
    bucket.proxy.before = lambda _: None
    model = fetch(f"{bucket.uri}/m", network=QUICK)
    assert (model.path / "model.safetensors").read_bytes() == newer


def test_a_version_is_read_to_its_end(bucket):  # noqa: F811
    bucket.keep_versions()
    bucket.model()
    overwritten = []

    def overwrite(request: Request):
        if "bytes=131072-" in request.headers.get("range", ""):
            bucket.put("m/model.safetensors", b"newer")
            overwritten.append(request)

    bucket.proxy.before = overwrite
    check_whole(fetch(f"{bucket.uri}/m", network=QUICK))
    assert overwritten
