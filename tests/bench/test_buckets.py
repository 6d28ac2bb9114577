"""The bench of compiled buckets: its mix is the one it tells, and it runs."""

import statistics
import sys

import msgspec
import pytest
from bench.buckets import FIXED, P50, Report, drawn

from bench import buckets
from pilotage.engines.compiled.lengths import Lengths


def test_the_mix_is_the_one_it_tells():
    requests = drawn(4000, Lengths.log_normal(P50, 128, FIXED), seed=1)
    sizes = [len(ids) for ids in requests]
    assert abs(statistics.median(sizes) - P50) <= 2
    assert 35 < statistics.mean(sizes) < 41
    assert max(sizes) == FIXED
    assert requests == drawn(4000, Lengths.log_normal(P50, 128, FIXED), seed=1)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_it_runs(tmp_path, monkeypatch):
    path = tmp_path / "report.json"
    arguments = ["--rounds", "1", "--requests", "16", "--max-buckets", "2", "--json", str(path)]
    monkeypatch.setattr(sys, "argv", ["buckets.py", *arguments])
    assert buckets.main() in (0, 1)  # what so few requests say is no verdict
    report = msgspec.json.decode(path.read_bytes(), type=Report)
    assert report.buckets[-1] == FIXED
    assert report.padding < report.padding_fixed
    assert report.expected > 1
    assert report.ratio > 0
