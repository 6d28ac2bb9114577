"""Engines that are servers of their own: kept alive by a keeper, joined by the gateway."""
