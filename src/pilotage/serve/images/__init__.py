"""Images that clients send: kept, fetched, decoded, away from the gateway's event loop."""

from pilotage.serve.images.loader import ImageLoader
from pilotage.serve.images.upload import Upload

__all__ = ["ImageLoader", "Upload"]
