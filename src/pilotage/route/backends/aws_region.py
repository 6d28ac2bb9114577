"""The AWS region where none is given, the same for requests and for their prices."""

from __future__ import annotations

import os


def aws_region() -> str | None:
    """Of ``AWS_REGION``, ``AWS_DEFAULT_REGION``, or the profile; None if none says one.

    boto3 does not read the first, which AWS's other tools and its containers go by.
    """
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        if region := os.environ.get(name):
            return region
    try:
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - an extra
        from botocore.session import Session  # noqa: PLC0415
    except ImportError:
        return None
    try:
        region = Session().get_config_variable("region")
    except BotoCoreError:  # no such profile, or a malformed file: said when a client is opened
        return None
    return str(region) if region else None
