import hashlib
import io
import threading
import urllib.request

import pytest
from bench.fetch import measure
from bench.fetch_origin import COMMIT, REPO, Origin
from bench.fetch_report import MIB, Place, Run, ratio, table, targets
from bench.fetch_runs import check, make_model
from bench.fetch_tools import CURL, HUB, OURS, OURS_BARE, Took
from bench.processes import StartError
from rich.console import Console


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    digests = make_model(folder, 2 * MIB + 5)
    origin = Origin(folder)
    thread = threading.Thread(target=origin.run)
    thread.start()
    yield folder, digests, origin
    origin.close()
    thread.join(5)


def made(tool: str, wall_s: float, settle_s: float = 0.0) -> Run:
    return Run(tool, Took(wall_s, 0.0, 0.0, "1"), wall_s, wall_s, 0.1, settle_s)


def test_the_origin_serves_ranges_and_whole_files(model):
    folder, digests, origin = model
    url = f"{origin.url}/{REPO}/resolve/{COMMIT}/model.safetensors"
    whole = (folder / "model.safetensors").read_bytes()

    request = urllib.request.Request(url, headers={"Range": f"bytes={MIB - 3}-{MIB + 7}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 206
        assert answer.headers["Content-Range"] == f"bytes {MIB - 3}-{MIB + 7}/{len(whole)}"
        assert answer.read() == whole[MIB - 3 : MIB + 8]
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert hashlib.sha256(answer.read()).hexdigest() == digests["model.safetensors"]
        assert answer.headers["ETag"] == f'"{digests["model.safetensors"]}"'


def test_every_tool_downloads_the_model_from_the_origin(tmp_path):
    report = measure(3 * MIB, 1, [tmp_path / "into"], Console(quiet=True))

    (place,) = report.places
    assert {OURS, OURS_BARE, HUB} <= {run.tool for run in place.runs}
    assert all(0 < run.took.wall_s <= run.process_s for run in place.runs)
    assert {target.met for target in place.targets} <= {True, False, None}
    assert report.model_bytes > 3 * MIB
    assert list((tmp_path / "into").iterdir()) == []


@pytest.mark.parametrize("spoil", ["lost", "altered"])
def test_a_tool_that_delivers_other_bytes_has_no_figure(tmp_path, spoil):
    digests = make_model(tmp_path, MIB)
    check("tool", tmp_path, digests)
    file = tmp_path / "model.safetensors"
    if spoil == "lost":
        file.unlink()
    else:
        data = bytearray(file.read_bytes())
        data[MIB // 2] ^= 1
        file.write_bytes(data)
    with pytest.raises(StartError, match=r"tool did not deliver model\.safetensors"):
        check("tool", tmp_path, digests)


def test_ratios_are_medians_of_rounds():
    runs = [made(OURS, 1.0), made(HUB, 2.0), made(OURS, 4.0), made(HUB, 4.0, settle_s=8.0)]
    runs += [made(OURS, 1.0), made(HUB, 3.0)]
    assert ratio(runs, OURS, HUB) == 2.0
    assert ratio(runs, OURS, HUB, flushed=True) == 3.0
    assert ratio(runs, OURS, CURL) is None


def test_a_target_without_its_tool_is_neither_met_nor_missed():
    verified, bare = targets([made(OURS, 2.0), made(HUB, 1.0), made(OURS_BARE, 1.0)])
    assert (verified.measured, verified.met) == (0.5, False)
    assert (bare.measured, bare.met) == (None, None)
    _, bare = targets([made(OURS_BARE, 1.0), made(CURL, 0.8)])
    assert (bare.measured, bare.met) == (0.8, True)


def test_a_tool_that_is_not_installed_has_a_row_that_says_so():
    runs = (made(OURS, 1.0), made(HUB, 2.0))
    place = Place("tmpfs at /x", True, runs, {}, targets(runs))
    console = Console(width=140, file=io.StringIO())
    console.print(table(place, MIB))
    printed = console.file.getvalue()
    rows = {
        line.split("\u2502")[1].strip(): line for line in printed.splitlines() if "\u2502" in line
    }
    assert "not installed" in rows["curl"]
    assert "2.00" in rows["huggingface_hub 1"]
