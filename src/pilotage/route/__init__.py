"""Routing: tiers of models, the cheapest one that is good enough, and every cent accounted for."""
