"""Rules of who may do what: roles, secrets, security groups, function URLs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pilotage.ship.graph import Resource
from pilotage.ship.rules.environment import environments, secret_in
from pilotage.ship.rules.reading import at, containers, graph_of, items, of_type, text
from pilotage.ship.rules.rule import Finding, rule
from pilotage.ship.target import Rendered, Shipment

_POLICIES: Final = ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy")
_READS: Final = ("get", "list", "describe", "batchget", "batchcheck", "head", "query", "scan")
_WITHOUT_RESOURCE: Final = frozenset(
    {
        "cloudwatch:putmetricdata",
        "xray:puttracesegments",
        "xray:puttelemetryrecords",
        "ecs:discoverpollendpoint",
        "ssmmessages:createcontrolchannel",
        "ssmmessages:createdatachannel",
        "ssmmessages:opencontrolchannel",
        "ssmmessages:opendatachannel",
    }
)
"""Writing actions that IAM knows no resource for (Service Authorization Reference)."""

_ANYWHERE: Final = ("0.0.0.0/0", "::/0")
_ARN = re.compile(r"arn:aws[a-z-]*:(secretsmanager|ssm):|^\$\{|secretsmanager")


@rule(
    "no-star-write",
    what="A role that may write to everything can destroy what is not ours.",
    limit="an action that writes names its resources; only those that IAM knows no resource for "
    'have "*"',
    source="the project's rule; IAM Service Authorization Reference",
)
def _no_star_write(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for where, statement in _statements(rendered):
        if "*" not in [text(one) for one in _listed(statement.get("Resource"))]:
            continue
        for action in _listed(statement.get("Action")):
            name = text(action).lower()
            if name.endswith("*") and not _reads(name):
                continue  # An action with a star is another rule's.
            if not _reads(name) and name not in _WITHOUT_RESOURCE:
                yield Finding(
                    f"{where}.Resource", f'{text(action)} on "*"', "Name the ARNs it needs"
                )


@rule(
    "no-star-action",
    what="A role that may do everything to a resource can also delete it, and open it to others.",
    limit='actions are named one by one; a star stands for reading ones only ("s3:Get*")',
    source="the project's rule; checkov CKV_AWS_111 in kind",
)
def _no_star_action(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for where, statement in _statements(rendered):
        for action in _listed(statement.get("Action")):
            name = text(action).lower()
            if name.endswith("*") and not _reads(name):
                yield Finding(f"{where}.Action", text(action), "Name the actions it needs")


@rule(
    "trust-named",
    what="Whoever knows its name can take on the role.",
    limit='a role trusts named services or roles, never "*"',
    source="IAM User Guide, trust policies",
)
def _trust_named(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for one in of_type(rendered, "AWS::IAM::Role"):
        for statement in items(one.properties, "AssumeRolePolicyDocument", "Statement"):
            principal = at(statement, "Principal")
            parts = principal.values() if isinstance(principal, Mapping) else (principal,)
            if "*" in [text(part) for value in parts for part in _listed(value)]:
                yield Finding(
                    f"{one.name}.AssumeRolePolicyDocument", 'Principal "*"', "Name the service"
                )


@rule(
    "secret-plain",
    what="Everybody who may describe the deployment, or read its template, reads the secret.",
    limit="no key, token or password stands in an environment; secrets come by ARN",
    source="ECS Developer Guide, sensitive data; checkov CKV_AWS_45 and CKV_SECRET in kind",
)
def _secret_plain(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for where, name, value in environments(rendered):
        if secret_in(name, text(value)):
            yield Finding(
                f"{where}[{name}]",
                "holds a secret as plain text",
                "Put it into Secrets Manager and name its ARN (shipping.secrets, keys_secret_arn, "
                "hub_token_secret_arn)",
            )


@rule(
    "secret-arn",
    what="A secret that is named and not given as an ARN is looked for among SSM parameters, and "
    "the task does not start.",
    limit="Secrets[].ValueFrom is an ARN of Secrets Manager or SSM, or a reference to one",
    source="ECS ContainerDefinition.secrets (botocore)",
)
def _secret_arn(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for where, _, one in containers(rendered):
        for part in items(one, "Secrets"):
            value = text(at(part, "ValueFrom"))
            if not _ARN.search(value):
                yield Finding(
                    f"{where}.Secrets[{text(at(part, 'Name'))}].ValueFrom",
                    value[:80] or "empty",
                    "Write the secret's ARN",
                )


@rule(
    "closed-groups",
    what="The model answers whoever finds its address.",
    limit="only a public load balancer lets 0.0.0.0/0 in, or what shipping.network.allowed_cidrs "
    "names",
    source="the project's rule; checkov CKV_AWS_260 in kind",
)
def _closed_groups(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    network = shipment.shipping.network
    for where, entry in _ingress(rendered):
        for field in ("CidrIp", "CidrIpv6"):
            cidr = text(entry.get(field))
            if cidr in _ANYWHERE and not network.public and cidr not in network.allowed_cidrs:
                yield Finding(
                    f"{where}.{field}", cidr, "Name who may in shipping.network.allowed_cidrs"
                )


@rule(
    "narrow-ports",
    what="SSH, the engine's own port and every debugger are open with the port that was meant.",
    limit="what lets anybody in, lets them in to 80 or 443 only; nothing opens all protocols",
    source="checkov CKV_AWS_24, CKV_AWS_25 and CKV_AWS_277 in kind",
)
def _narrow_ports(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for where, entry in _ingress(rendered):
        ports = (entry.get("FromPort"), entry.get("ToPort"))
        anybody = text(entry.get("CidrIp") or entry.get("CidrIpv6")) in _ANYWHERE
        every = str(entry.get("IpProtocol")) == "-1"
        if every or (anybody and ports not in ((80, 80), (443, 443))):
            shown = "all protocols" if every else f"ports {ports[0]} to {ports[1]}"
            yield Finding(f"{where}.FromPort", shown, "Open one port of one protocol")


@rule(
    "function-url",
    what="A function's URL without authentication spends your money for whoever calls it.",
    limit="AuthType of a function URL is AWS_IAM, unless the spec is public to 0.0.0.0/0",
    source="Lambda Developer Guide, function URLs; checkov CKV_AWS_258",
)
def _function_url(rendered: Rendered, shipment: Shipment) -> Iterator[Finding]:
    network = shipment.shipping.network
    if network.public and "0.0.0.0/0" in network.allowed_cidrs:
        return
    for one in of_type(rendered, "AWS::Lambda::Url"):
        if one.properties.get("AuthType") != "AWS_IAM":
            yield Finding(f"{one.name}.AuthType", text(one.properties.get("AuthType")), "AWS_IAM")


@rule(
    "ecr-scan",
    what="Known holes in an image stay unknown.",
    limit="a repository scans on push",
    source="ECR User Guide; checkov CKV_AWS_163",
)
def _ecr_scan(rendered: Rendered, _shipment: Shipment) -> Iterator[Finding]:
    for one in of_type(rendered, "AWS::ECR::Repository"):
        if at(one.properties, "ImageScanningConfiguration", "ScanOnPush") is not True:
            yield Finding(
                f"{one.name}.ImageScanningConfiguration.ScanOnPush", "is not true", "Set it"
            )


def _statements(rendered: Rendered) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Allowing statements of all roles and policies; not whom a role trusts."""
    for one in of_type(rendered, "AWS::IAM::Role", *_POLICIES):
        documents: list[tuple[str, Any]] = [
            (f"{one.name}.Policies[{index}]", at(part, "PolicyDocument"))
            for index, part in enumerate(items(one.properties, "Policies"))
        ]
        documents.append((f"{one.name}.PolicyDocument", one.properties.get("PolicyDocument")))
        for where, document in documents:
            for index, statement in enumerate(_listed(at(document, "Statement"))):
                if isinstance(statement, Mapping) and statement.get("Effect") == "Allow":
                    yield f"{where}.Statement[{index}]", statement


def _ingress(rendered: Rendered) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for one in graph_of(rendered).resources:
        if one.type == "AWS::EC2::SecurityGroup":
            yield from _entries(one)
        elif one.type == "AWS::EC2::SecurityGroupIngress":
            yield one.name, one.properties


def _entries(group: Resource) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for index, entry in enumerate(items(group.properties, "SecurityGroupIngress")):
        if isinstance(entry, Mapping):
            yield f"{group.name}.SecurityGroupIngress[{index}]", entry


def _listed(value: Any) -> tuple[Any, ...]:
    """IAM writes lists of one as the one."""
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _reads(action: str) -> bool:
    return action.rpartition(":")[2].startswith(_READS)


ACCESS_RULES: Final = (
    _no_star_write,
    _no_star_action,
    _trust_named,
    _secret_plain,
    _secret_arn,
    _closed_groups,
    _narrow_ports,
    _function_url,
    _ecr_scan,
)
