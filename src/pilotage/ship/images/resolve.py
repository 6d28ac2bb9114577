"""Asks a registry which digest a tag has now, so that a Dockerfile can be pinned to it.

The registry protocol (OCI Distribution Specification 1.1, "Checking if content exists in the
registry", and the bearer tokens of Docker's registry authentication) without an account: what the
public bases need. A private registry answers 401 and is said to.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

import httpx

from pilotage.errors import TargetError
from pilotage.ship.images.bases import DIGEST, Base

_ACCEPT: Final = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_HOSTS: Final = {"docker.io": "registry-1.docker.io"}
_CHALLENGE: Final = re.compile(r'(\w+)="([^"]*)"')


def resolve_digest(base: Base, *, timeout_s: float = 30.0, scheme: str = "https") -> str:
    """The digest that the tag has now.

    Args:
        base: The image.
        timeout_s: Of each request.
        scheme: "http" for a registry on this machine.

    Raises:
        TargetError: The registry cannot be reached, wants an account, or has no such tag.
    """
    host = _HOSTS.get(base.registry, base.registry)
    address = f"{scheme}://{host}/v2/{base.repository}/manifests/{base.tag}"
    try:
        with httpx.Client(timeout=timeout_s, follow_redirects=True) as client:
            answer = client.head(address, headers={"accept": _ACCEPT})
            unknown = answer.status_code == httpx.codes.UNAUTHORIZED
            if unknown and (token := _token(client, answer, scheme)):
                headers = {"accept": _ACCEPT, "authorization": f"Bearer {token}"}
                answer = client.head(address, headers=headers)
    except httpx.HTTPError as error:
        raise TargetError(
            f"the registry cannot be asked: {type(error).__name__}",
            where=base.name,
            hint="Run this where the internet is, or give the digest with --digest",
        ) from None
    digest = str(answer.headers.get("docker-content-digest", ""))
    if answer.status_code != httpx.codes.OK or DIGEST.fullmatch(digest) is None:
        raise TargetError(
            f"the registry answered {answer.status_code} and no digest",
            where=base.name,
            hint=f"Ask it yourself with `docker buildx imagetools inspect {base.name}`, "
            "and give the digest with --digest",
        )
    return digest


def _token(client: httpx.Client, answer: httpx.Response, scheme: str) -> str:
    """An anonymous token, from whom the registry's 401 names; "" if it names nobody."""
    challenge = answer.headers.get("www-authenticate", "")
    parts = dict(_CHALLENGE.findall(challenge))
    realm = parts.pop("realm", "")
    if not challenge.lower().startswith("bearer ") or urlsplit(realm).scheme != scheme:
        return ""
    granted = client.get(realm, params=parts)
    if granted.status_code != httpx.codes.OK:
        return ""
    try:
        body = granted.json()
    except ValueError:
        return ""
    found = body.get("token") or body.get("access_token") if isinstance(body, dict) else None
    return found if isinstance(found, str) else ""
