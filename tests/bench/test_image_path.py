import pytest
from bench.image_path import measure, photograph, show
from rich.console import Console


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_small_run():
    report = measure(repeats=2, uploads=3, rounds=1, megabytes=4.0)
    assert len(report.ratios) == 2
    assert report.request_s > 0 and report.pillow_s > 0 and report.front_cpu_s > 0
    assert report.stalls.ticks > 0 and report.machine_stalls.ticks > 0
    console = Console(record=True, width=160)
    show(report, console)
    assert "times" in console.export_text()


def test_the_photograph_is_as_long_as_asked():
    assert abs(len(photograph(4.0)) - 4e6) < 0.3e6
