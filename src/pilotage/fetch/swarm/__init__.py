"""A model shared between the nodes that want it, with the origin asked as little as possible."""

from pilotage.fetch.swarm.network import Shared, SwarmNetwork
from pilotage.fetch.swarm.options import SwarmOptions
from pilotage.fetch.swarm.source import SwarmSource
from pilotage.fetch.swarm.tracker import DEFAULT_PORT, TrackerServer

__all__ = ["DEFAULT_PORT", "Shared", "SwarmNetwork", "SwarmOptions", "SwarmSource", "TrackerServer"]
