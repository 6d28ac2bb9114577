"""Secrets of the ``shipping:`` section: variables by name, values by ARN only."""

import re
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from pilotage.spec.shipping import ShippingSpec

ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:tiers/big-AbCdEf"
KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def test_secrets_and_keys_are_arns() -> None:
    given = {"BIG_KEY": ARN, "OTHER": f"{ARN}:OTHER::"}
    found = ShippingSpec.model_validate({"secrets": given, "kms_key_arns": [KEY]})
    assert (found.secrets, found.kms_key_arns) == (given, (KEY,))


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"secrets": {"BIG-KEY": ARN}}, "is no name of a variable"),
        ({"secrets": {"PILOTAGE_KEYS": ARN}}, "is set by Pilotage"),
        ({"secrets": {"aws_profile": ARN}}, "or by AWS"),
        ({"secrets": {"BIG_KEY": "sk-very-secret"}}, "the value of BIG_KEY is no ARN"),
        ({"secrets": {"BIG_KEY": f"{ARN}:OTHER"}}, "the value of BIG_KEY is no ARN"),
        ({"secrets": {"BIG_KEY": f"{ARN} "}}, "the value of BIG_KEY is no ARN"),
        ({"kms_key_arns": ["alias/ours"]}, "is no ARN of a key"),
        ({"kms_key_arns": ["*"]}, "is no ARN of a key"),
    ],
)
def test_what_is_none_is_refused_and_a_secret_is_not_repeated(
    section: dict[str, object], said: str
) -> None:
    with pytest.raises(ValidationError, match=said) as caught:
        ShippingSpec.model_validate(section)
    assert "sk-very-secret" not in str(caught.value.errors(include_input=False))


def test_the_pages_example_is_read() -> None:
    page = (Path(__file__).parents[2] / "docs" / "ship.md").read_text("utf-8")
    block = next(one for one in re.findall(r"```yaml\n(.*?)```", page, re.S) if "secrets:" in one)
    found = ShippingSpec.model_validate(yaml.safe_load(block)["shipping"])
    assert list(found.secrets) == ["BIG_API_KEY"]
