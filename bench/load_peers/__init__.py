"""The load generators that are measured against one another, one file each."""

from bench.load_peers import aiperf, guidellm, pilotage
from bench.load_peers.tool import Tool

ALL: tuple[Tool, ...] = (pilotage.TOOL, guidellm.TOOL, aiperf.TOOL)
"""Pilotage first."""
