"""Images: checked before they are decoded, decoded, fitted to what a model takes."""

from pilotage.images.geometry import VisionInput

__all__ = ["VisionInput"]
