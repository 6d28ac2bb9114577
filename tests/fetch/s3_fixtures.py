"""Fixtures of the tests over moto; import them by name."""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
import random
from dataclasses import replace

import botocore.loaders
import pytest
from s3_server import KEYS, FaultyS3, MotoServer

from pilotage.fetch.http import Timeouts
from pilotage.fetch.retry import RetryPolicy
from pilotage.fetch.sources.network import Network
from pilotage.fetch.transfer import TransferOptions

WEIGHTS = random.Random(1).randbytes(300_000)
CONFIG = b'{"model_type": "llama"}'
TOKENIZER = random.Random(2).randbytes(5_000)
QUICK = Network(
    timeouts=Timeouts(connect_s=10.0, idle_s=10.0, head_s=20.0),
    retry=RetryPolicy(attempts=3, base_s=0.01, cap_s=0.02, budget_s=30.0),
    transfer=TransferOptions(threads=4, part_bytes=65_536, stall_s=8.0, deadline_s=60.0),
)
"""Tries again at once, and has patience with a server on a busy machine."""
HASTY = replace(
    QUICK,
    timeouts=Timeouts(connect_s=1.0, idle_s=0.6, head_s=2.0),
    transfer=replace(QUICK.transfer, stall_s=0.5),
)
"""Has none: for servers that fall silent."""
_NUMBERS = itertools.count()
_LOADER = functools.cache(botocore.loaders.create_loader)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Bucket:
    """A bucket of its own for each test, and the proxy that Pilotage sees it through."""

    def __init__(self, moto: MotoServer, proxy: FaultyS3) -> None:
        self.name = f"bucket-{next(_NUMBERS)}"
        self.s3, self.proxy, self.uri = moto.client, proxy, f"s3://{self.name}"
        self.s3.create_bucket(Bucket=self.name)

    def put(self, key: str, data: bytes, **more: object) -> None:
        self.s3.put_object(Bucket=self.name, Key=key, Body=data, **more)

    def keep_versions(self) -> None:
        enabled = {"Status": "Enabled"}
        self.s3.put_bucket_versioning(Bucket=self.name, VersioningConfiguration=enabled)

    def model(self, prefix: str = "m", *, algorithm: str = "SHA256") -> None:
        for name, data in (
            ("config.json", CONFIG),
            ("model.safetensors", WEIGHTS),
            ("sub/tokenizer.model", TOKENIZER),
        ):
            self.put(f"{prefix}/{name}", data, ChecksumAlgorithm=algorithm)


@pytest.fixture(scope="module")
def moto():
    server = MotoServer()
    yield server
    server.stop()


@pytest.fixture
def bucket(moto, home, monkeypatch):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    proxy = FaultyS3(moto.port)
    settings = {
        **KEYS,
        "AWS_ENDPOINT_URL": proxy.url,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": "127.0.0.1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    # boto3 reads the description of its services anew for each client: a quarter of a second.
    monkeypatch.setattr("botocore.session.create_loader", _LOADER)
    yield Bucket(moto, proxy)
    proxy.stop()
