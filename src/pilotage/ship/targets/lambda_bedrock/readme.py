"""What a person needs beside the template: how the package is made, and the function asked."""

from __future__ import annotations

from collections.abc import Sequence

from pilotage import __version__
from pilotage.ship.target import Shipment
from pilotage.ship.targets.lambda_bedrock.package import PYTHON, Package


def readme(
    shipment: Shipment, package: Package, notes: Sequence[str], warnings: Sequence[str]
) -> str:
    """The README of the rendered folder, Markdown."""
    shipping = shipment.shipping
    region = f"--region {shipping.region}"
    account = shipping.account or "ACCOUNT"
    lines = [
        f"# {shipment.deployment.name} on Lambda and Bedrock",
        "",
        "`pilotage ship apply` does what follows, and waits until the models answer.",
        "",
        *(f"**Careful:** {warning}\n" for warning in warnings),
        *_package(shipment, package, region, account),
        "## Make it",
        "```sh",
        f"aws cloudformation deploy {region} --stack-name {shipment.name} --template-file "
        "template.yaml --capabilities CAPABILITY_IAM",
        "```",
        "",
        "## Ask it",
        "```sh",
        f"aws lambda invoke {region} --function-name {shipment.name} --cli-binary-format "
        """raw-in-base64-out --payload '{"prompt": "Hello"}' answer.json""",
        "```",
        "At its URL it is OpenAI's API: POST /v1/chat/completions, signed for the service lambda "
        "(curl has `--aws-sigv4`).",
        "",
        "## Take it away",
        "```sh",
        f"aws cloudformation delete-stack {region} --stack-name {shipment.name}",
        "```",
        "",
        "## To know",
        *(f"- {note}" for note in (*notes, *shipment.sizing.notes)),
        "",
    ]
    return "\n".join(lines)


def _package(shipment: Shipment, package: Package, region: str, account: str) -> list[str]:
    if shipment.shipping.image.uri is not None:
        return [
            "## Image",
            "The image holds what `package/` and `requirements.txt` say, at /var/task, on AWS's "
            f"base image for Python {PYTHON}.",
            "",
        ]
    bucket = f"pilotage-{account}-{shipment.shipping.region}"
    place = f"{region} --bucket {bucket}"
    located = (
        ""
        if shipment.shipping.region == "us-east-1"
        else f" --create-bucket-configuration LocationConstraint={shipment.shipping.region}"
    )
    given = [] if shipment.shipping.account else ["Put your account's number for ACCOUNT.", ""]
    return [
        "## Package",
        "The spec is in `package/` already. The digest in the zip's key is that of spec, "
        "requirements and Pilotage's version: another spec is another key.",
        *given,
        "```sh",
        f"pip install --target package --python-version {PYTHON} --implementation cp "
        "--platform manylinux2014_x86_64 --platform manylinux_2_28_x86_64 --only-binary=:all: "
        "--requirement requirements.txt",
        f"pip install --target package --no-deps --upgrade pilotage=={__version__}",
        "cd package",
        "python -m zipfile -c ../function.zip .",
        "cd ..",
        "```",
        "Once an account and region, a bucket for packages:",
        "```sh",
        f"aws s3api create-bucket {place}{located}",
        f"aws s3api put-public-access-block {place} --public-access-block-configuration "
        "BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,"
        "RestrictPublicBuckets=true",
        "```",
        "Bucket names are everybody's: the owner is checked, so that nothing is sent to a "
        "stranger's.",
        "```sh",
        f"aws s3api put-object {place} --expected-bucket-owner {account} --key {package.key} "
        "--body function.zip",
        "```",
        "",
    ]
