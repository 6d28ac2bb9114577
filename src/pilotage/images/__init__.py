"""Images: checked before they are decoded, decoded, fitted to what a model takes."""

from pilotage.images.geometry import VisionInput
from pilotage.images.header import ImageHeader, read_header
from pilotage.images.limits import ImageError, ImageLimits

__all__ = ["ImageError", "ImageHeader", "ImageLimits", "VisionInput", "read_header"]
