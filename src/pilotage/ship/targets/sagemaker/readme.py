"""What a person needs beside the template: how it is made, asked and taken away, by hand."""

from __future__ import annotations

from collections.abc import Sequence

from pilotage.ship.images import ImageFiles
from pilotage.ship.target import Shipment
from pilotage.ship.targets.sagemaker.config import by_components, instance_type
from pilotage.ship.targets.sagemaker.image import Image


def readme(shipment: Shipment, image: Image, notes: Sequence[str], built: ImageFiles | None) -> str:
    """The README of the rendered folder, Markdown; with how its image is built, if it has one."""
    sizing, shipping = shipment.sizing, shipment.shipping
    region = f"--region {shipping.region}"
    lines = [
        f"# {shipment.deployment.name} on SageMaker",
        "",
        f"{max(1, sizing.desired)} x {instance_type(shipment)} at the start, from "
        f"{sizing.min_replicas} to {max(1, sizing.max_replicas)}. `pilotage ship apply` does what "
        "follows, and waits until the model answers.",
        "",
    ]
    if image.parameters:
        lines += [
            "## Image",
            "The image has to be there before the stack. Once:",
            "```sh",
            f"aws ecr create-repository {region} --repository-name {image.repository} "
            "--image-tag-mutability IMMUTABLE --image-scanning-configuration scanOnPush=true",
            "```",
            "Then, in this folder, build `image/` and push it; the push prints the digest:",
            "```sh",
            *(built.commands if built is not None else ()),
            "```",
            "",
        ]
    digest = (
        " --parameter-overrides ImageDigest=sha256:DIGEST_OF_THE_PUSH" if image.parameters else ""
    )
    lines += [
        "## Make it",
        "```sh",
        f"aws cloudformation deploy {region} --stack-name {shipment.name} --template-file "
        f"template.yaml --capabilities CAPABILITY_IAM{digest}",
        "```",
        "",
        "## Ask it",
        "```sh",
        *_asking(shipment, region),
        "```",
        "",
        "## Take it away",
        "```sh",
        f"aws cloudformation delete-stack {region} --stack-name {shipment.name}",
        "```",
    ]
    if shipment.target == "sagemaker-async":
        lines.append("The bucket of requests and answers stays; it forgets them after a week.")
    lines += ["", "## To know", *(f"- {note}" for note in (*notes, *sizing.notes)), ""]
    return "\n".join(lines)


def _asking(shipment: Shipment, region: str) -> list[str]:
    if shipment.target == "sagemaker-async":
        return [
            f"aws sagemaker-runtime invoke-endpoint-async {region} --endpoint-name "
            f"{shipment.name} --content-type application/json --input-location "
            "s3://BUCKET/requests/request.json",
        ]
    named = f" --inference-component-name {shipment.name}" if by_components(shipment) else ""
    body = '{"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 16}'
    return [
        f"aws sagemaker-runtime invoke-endpoint {region} --endpoint-name {shipment.name}{named} "
        "--content-type application/json --cli-binary-format raw-in-base64-out "
        f"--body '{body}' answer.json",
    ]
