"""Whose certificates are trusted."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from pathlib import Path

import certifi

from pilotage.errors import UsageError


def trust(environ: Mapping[str, str] | None = None) -> ssl.SSLContext:
    """The certificates to trust: those of ``SSL_CERT_FILE``, else the machine's, else certifi's.

    Raises:
        UsageError: ``SSL_CERT_FILE`` names no file of certificates.
    """
    env = os.environ if environ is None else environ
    named = env.get("SSL_CERT_FILE")
    if named:
        try:
            return ssl.create_default_context(cafile=named)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(
                "SSL_CERT_FILE names no readable file of certificates", where=named
            ) from error
    paths = ssl.get_default_verify_paths()
    folder = env.get("SSL_CERT_DIR") or paths.capath
    has_own = paths.cafile or (folder and any(Path(folder).glob("*.0")))
    # Slim container images have no certificates of their own.
    return ssl.create_default_context(cafile=None if has_own else certifi.where())
