"""What is missing is said before the first request: boto3, a region, credentials."""

import builtins
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pilotage.errors import UsageError
from pilotage.route.backends.aws_client import open_client
from pilotage.route.backends.bedrock import BedrockBackend


@pytest.fixture(autouse=True)
def no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_BEARER_TOKEN_BEDROCK",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


def opened(region: str | None = "us-east-1") -> Any:
    return open_client(
        "bedrock-runtime", where="big/0", region=region, silence_s=1.0, connections=3
    )


def test_no_credentials() -> None:
    with pytest.raises(UsageError, match=r"big/0: there are no AWS credentials.*AWS_PROFILE"):
        opened()


def test_no_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    with pytest.raises(UsageError, match=r"big/0: there is no AWS region.*region:"):
        opened(None)


def test_no_such_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(UsageError, match='no AWS profile "nobody"'):
        opened()


def test_a_malformed_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "not an address")
    with pytest.raises(UsageError, match="malformed"):
        opened()


def test_no_boto3(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] in {"boto3", "botocore"}:
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r"needs boto3.*pip install 'pilotage\[aws\]'"):
        BedrockBackend(
            "big/0",
            model_id="amazon.nova-lite-v1:0",
            region="us-east-1",
            timeout_s=1.0,
            first_token_timeout_s=1.0,
            max_concurrency=1,
        )


def test_a_bedrock_api_key_is_credentials_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "example")
    client = opened()
    assert client.meta.region_name == "us-east-1"
    client.close()


def test_a_client_makes_each_call_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "5")
    client = opened()
    assert client.meta.config.retries["total_max_attempts"] == 1
    assert client.meta.config.max_pool_connections == 3
    client.close()


def test_the_region_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    (tmp_path / "config").write_text("[default]\nregion = eu-west-3\n")
    assert region_of(None) == "eu-west-3"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    assert region_of(None) == "eu-west-2"
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert region_of(None) == "eu-west-1"
    assert region_of("us-west-2") == "us-west-2"


def region_of(region: str | None) -> str:
    client = opened(region)
    client.close()
    return str(client.meta.region_name)


def test_who_needs_no_aws_does_not_load_it() -> None:
    program = (
        "import sys, pilotage.route.backends.bedrock, pilotage.route.backends.sagemaker\n"
        "import pilotage.route.prices\n"
        "print([name for name in ('boto3', 'botocore', 'genai_prices') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert said.stdout.strip() == b"[]"
