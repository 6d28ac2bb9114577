"""The certificate of the load balancer: there, issued, of this region."""

from __future__ import annotations

from pilotage.errors import UsageError
from pilotage.ship.lifecycle.aws import Aws
from pilotage.ship.target import Shipment

_WHERE = "shipping.network.certificate_arn"


def check_certificate(aws: Aws, shipment: Shipment) -> str | None:
    """The domain of the deployment's certificate; None if it has none, or is of IAM.

    Raises:
        UsageError: There is no such certificate, or it cannot be used.
        PilotageError: AWS cannot be asked.
    """
    arn = shipment.shipping.network.certificate_arn
    if arn is None or ":acm:" not in arn:
        return None
    if (region := arn.split(":")[3]) != aws.region:
        raise UsageError(
            f"the certificate is in {region}; the load balancer's must be in {aws.region}",
            where=_WHERE,
            hint=f"Request or import it in {aws.region}",
        )
    answer = aws.try_call(
        "acm",
        "describe_certificate",
        "ResourceNotFoundException",
        "InvalidArnException",
        "ValidationException",
        CertificateArn=arn,
    )
    if answer is None:
        raise UsageError(
            f"there is no such certificate: {arn}",
            where=_WHERE,
            hint=f"aws acm list-certificates --region {aws.region} names them; without "
            "certificate_arn it is plain HTTP",
        )
    told = answer["Certificate"]
    if told.get("Status", "ISSUED") != "ISSUED":
        raise UsageError(
            f"the certificate is {told['Status']}, not ISSUED",
            where=_WHERE,
            hint="Finish its validation: aws acm describe-certificate names the missing record",
        )
    return str(told["DomainName"])
