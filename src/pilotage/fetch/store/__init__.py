"""The cache folder: whole, verified models, each fetched once, shared by many processes."""

from pilotage.fetch.store.lease import Timing, Turn
from pilotage.fetch.store.names import default_home
from pilotage.fetch.store.prune import Limits, Pruned
from pilotage.fetch.store.staging import STALE_AFTER, Staging
from pilotage.fetch.store.store import Revision, Store
from pilotage.fetch.store.upkeep import Cache, CachedRevision, Unfinished, Verified

__all__ = [
    "STALE_AFTER",
    "Cache",
    "CachedRevision",
    "Limits",
    "Pruned",
    "Revision",
    "Staging",
    "Store",
    "Timing",
    "Turn",
    "Unfinished",
    "Verified",
    "default_home",
]
