"""Where things are in a container."""

from __future__ import annotations

from typing import Final

USER_ID: Final = 10001
"""User and group of the server: not root, and not an id that hosts give to people."""

PYTHON: Final = "/opt/pilotage/bin/python"
"""The interpreter of the image's own environment."""

MODELS: Final = "/models"
"""``PILOTAGE_HOME``: the weights' volume."""

WEIGHTS_LOGGER: Final = "pilotage.weights"
"""Of the one line that a container writes about the weights that lie on its host."""

SPEC_FOLDER: Final = "/etc/pilotage"
SPEC_PATH: Final = f"{SPEC_FOLDER}/spec.yaml"
KEYS_FOLDER: Final = "/etc/pilotage-keys"
KEYS_PATH: Final = f"{KEYS_FOLDER}/keys.json"

ENTRYPOINT: Final = (PYTHON, "-m", "pilotage.ship.inside.fetch_then_serve")
HEALTH_CHECK: Final = (PYTHON, "-m", "pilotage.ship.inside.check_health")
"""Both in exec form: no shell, so nothing of a spec can become a command."""
