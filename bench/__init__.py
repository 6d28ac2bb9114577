"""What Pilotage claims, as programs that measure it; see docs/benchmarks.md."""
