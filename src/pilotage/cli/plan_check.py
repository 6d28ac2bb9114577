"""``pilotage plan check``."""


def check() -> None:
    """Under construction."""
