"""The Dockerfile of an engine: pinned, without root, without weights, started without a shell."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from pilotage import __version__
from pilotage.ship.images.bases import ImageEngine, check_digest, load_bases
from pilotage.ship.images.container import environment
from pilotage.ship.inside.places import ENTRYPOINT, HEALTH_CHECK, MODELS, PYTHON, USER_ID

EXTRAS: Final[Mapping[ImageEngine, str]] = {"cpu": "aws", "cuda": "aws,cuda", "neuron": "aws"}
"""Extras of Pilotage in each image: S3 as a source, and NVML where there are GPUs."""

# An engine's own packages (vLLM, torch, torch-neuronx) stay as their makers built them: Pilotage
# lives in an environment of its own that sees them and overrides none.
_SITE: Final[Mapping[ImageEngine, str]] = {
    "cpu": "",
    "cuda": "--system-site-packages ",
    "neuron": "--system-site-packages ",
}

DOCKERIGNORE: Final = """\
# Only what the Dockerfile names goes to the builder: no weights, no keys, no .git.
*
!wheels/
"""


def dockerfile(engine: ImageEngine, *, digest: str | None = None, title: str = "pilotage") -> str:
    """The Dockerfile.

    Args:
        engine: What it computes on.
        digest: Of the base. Without one, and without one in ``bases.json``, it is the build
            argument BASE_DIGEST without a default: a build that is not told a digest fails.
        title: Name of the image, a label.

    Raises:
        UsageError: The digest is none.
    """
    base = load_bases()[engine]
    pinned = digest or base.digest
    default = f"={check_digest(pinned)}" if pinned else ""
    variables = "".join(
        f" \\\n    {name}={value}" for name, value in sorted(environment(engine).items())
    )
    # Wheels are mounted for one step and never in a layer; with them the build needs no network.
    return f"""\
# syntax=docker/dockerfile:1
# {title}: Pilotage {__version__} on {engine}. Weights are fetched when it starts, not built in.
ARG BASE_DIGEST{default}
FROM {base.name}@${{BASE_DIGEST}}

ARG BASE_DIGEST
LABEL org.opencontainers.image.title="{title}" \\
      org.opencontainers.image.version="{__version__}" \\
      org.opencontainers.image.licenses="Apache-2.0" \\
      org.opencontainers.image.base.name="{base.name}" \\
      org.opencontainers.image.base.digest="${{BASE_DIGEST}}" \\
      dev.pilotage.engine="{engine}"

USER 0:0
RUN --mount=type=bind,source=wheels,target=/wheels \\
    python3 -m venv --without-pip {_SITE[engine]}/opt/pilotage \\
    && python3 -m pip --python {PYTHON} install --no-cache-dir --no-index \\
       --find-links=/wheels "pilotage[{EXTRAS[engine]}]=={__version__}" \\
    && install -d -o {USER_ID} -g {USER_ID} -m 0750 {MODELS}

ENV PILOTAGE_PORT=8000{variables}
WORKDIR /tmp
USER {USER_ID}:{USER_ID}
VOLUME ["{MODELS}"]
EXPOSE 8000
STOPSIGNAL SIGTERM
# Platforms that load for longer than the 5 minutes here have a grace of their own.
HEALTHCHECK --interval=30s --timeout=6s --start-period=300s --retries=3 \\
    CMD {json.dumps(list(HEALTH_CHECK))}
ENTRYPOINT {json.dumps(list(ENTRYPOINT))}
"""
