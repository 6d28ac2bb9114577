"""The gateway as a router over tiers: what ``routing:`` in a spec makes of a server."""
