"""Shipping: from spec and plan to a running, scaling, affordable service, and away again."""
