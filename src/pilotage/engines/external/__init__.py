"""Engines that are servers of their own: how their command lines are made from the spec."""
