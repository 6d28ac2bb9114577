from __future__ import annotations

import pickle
import zipfile
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.errors import SourceError
from pilotage.fetch.manifest import FileEntry
from pilotage.fetch.pickles import check_not_pickled
from pilotage.fetch.selection import Selection

TORCH_MAGIC = 0x1950A86A20F9469CFC6C


def check(path, *include):
    entry = FileEntry(path.name)
    check_not_pickled([entry], path.parent, Selection.of(include), where="hf://org/model")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "value", [TORCH_MAGIC, {"a": 1}, [1], print], ids=["torch", "dict", "list", "function"]
)
def test_a_pickle_is_known_by_its_first_bytes(tmp_path, value, protocol):
    path = tmp_path / "m.bin"
    path.write_bytes(pickle.dumps(value, protocol) + bytes(100))
    with pytest.raises(SourceError, match=r"m\.bin passes for OpenVINO's weights and is a pickle"):
        check(path)
    check(path, "*.bin")


def test_a_zip_archive_is_what_torch_writes(tmp_path):
    path = tmp_path / "m.bin"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
    with pytest.raises(SourceError, match="is a pickle"):
        check(path)


@given(st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=4))
def test_weights_are_none(tmp_path_factory, weights):
    path = tmp_path_factory.mktemp("weights") / "m.bin"
    path.write_bytes(array("f", weights).tobytes())
    check(path)
    path.write_bytes(b"")
    check(path)
