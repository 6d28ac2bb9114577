"""Models onto this machine: whole, verified, and once.

`fetch` takes a source and returns what an engine opens. Sources stand behind one interface
(`Source`), the cache folder behind another (`Store`).
"""

from pilotage.fetch.manifest import FileEntry, Manifest
from pilotage.fetch.model import FetchedModel, fetch
from pilotage.fetch.partial import PartialFile, PartialModel, look_into
from pilotage.fetch.progress import Phase, Progress, ProgressListener
from pilotage.fetch.sources import Source, parse_source
from pilotage.fetch.store import Cache, CachedRevision, Limits, Pruned, Store, default_home

__all__ = [
    "Cache",
    "CachedRevision",
    "FetchedModel",
    "FileEntry",
    "Limits",
    "Manifest",
    "PartialFile",
    "PartialModel",
    "Phase",
    "Progress",
    "ProgressListener",
    "Pruned",
    "Source",
    "Store",
    "default_home",
    "fetch",
    "look_into",
    "parse_source",
]
