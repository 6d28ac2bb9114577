"""Load tests that tell the truth, and a verdict against the SLO."""
