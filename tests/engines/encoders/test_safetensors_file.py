import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.engines.encoders.safetensors_file import SafetensorsFiles
from pilotage.errors import ModelError


def write(path, header, data=b""):
    raw = json.dumps(header).encode() if isinstance(header, dict) else header
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + data)
    return path


def test_types(tmp_path):
    values = np.array([[1.5, -2.0]], "<f4")
    upper = (values.view("<u4") >> 16).astype("<u2")
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, kind, array in (
        ("f4", "F32", values),
        ("f2", "F16", values.astype("<f2")),
        ("bf", "BF16", upper),
        ("f8", "F64", values.astype("<f8")),
    ):
        offsets = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": kind, "shape": [1, 2], "data_offsets": offsets}
        data += array.tobytes()
    tensors = SafetensorsFiles(write(tmp_path / "a.safetensors", header, data))
    assert set(tensors) == {"f4", "f2", "bf", "f8"}
    for name in tensors:
        assert tensors[name].dtype == np.float32
        assert tensors[name].tolist() == values.tolist()
        assert tensors.shape(name) == (1, 2)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "ends 4 bytes after the file"),
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}, "not as long as its shape"),
        ({"dtype": "F32", "shape": [-1], "data_offsets": [0, -4]}, "impossible"),
        ({"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}, "stored as F4"),
        ({"dtype": "F32"}, "bad safetensors header"),
        ([], "bad safetensors header"),
    ],
)
def test_lies_of_the_header(tmp_path, entry, message):
    with pytest.raises(ModelError, match=message):
        SafetensorsFiles(write(tmp_path / "a.safetensors", {"x": entry}, b"1234"))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "a.safetensors"
    path.write_bytes(content)
    try:
        tensors = SafetensorsFiles(path)
    except ModelError as error:
        assert str(path) in str(error)
    else:
        assert len(tensors) == 0
