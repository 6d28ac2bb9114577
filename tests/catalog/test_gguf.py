from __future__ import annotations

import os
import struct
import time
import tracemalloc
from pathlib import Path

import pytest
from gguf_writer import BLOCKS, CODES, Tensor, Typed, llama, write_gguf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilotage.catalog import GGUFArray, ModelShape, Vocabulary, read_header
from pilotage.errors import ModelError, UnsupportedModelError

fast = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
names = texts.filter(lambda name: name and "\0" not in name and name != "general.alignment")


def scalars(kind: str) -> st.SearchStrategy:
    if kind == "str":
        return texts
    if kind == "bool":
        return st.booleans()
    if kind.startswith("f"):
        return st.floats(allow_nan=False, width=int(kind[1:]))
    bits = int(kind[1:])
    low, high = (0, 2**bits) if kind[0] == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1))
    return st.integers(low, high - 1)


typed = st.sampled_from(sorted(CODES)).flatmap(
    lambda kind: st.builds(
        Typed, st.just(kind), st.one_of(scalars(kind), st.lists(scalars(kind), max_size=5))
    )
)
tensors = st.builds(
    lambda name, type_id, blocks, rest: Tensor(name, (BLOCKS[type_id][0] * blocks, *rest), type_id),
    names,
    st.sampled_from(sorted(BLOCKS)),
    st.integers(0, 3),
    st.lists(st.integers(1, 3), max_size=3),
)


@fast
@given(
    st.dictionaries(names, typed, max_size=6),
    st.lists(tensors, max_size=5, unique_by=lambda t: t.name),
    st.sampled_from([2, 3]),
    st.sampled_from([None, 8, 32, 4096]),
)
def test_what_was_written_is_read(tmp_path, metadata, tensors, version, alignment):
    if alignment is not None:
        metadata = {**metadata, "general.alignment": Typed("u32", alignment)}
    path = tmp_path / "m.gguf"
    path.write_bytes(write_gguf(metadata, tensors, version=version, alignment=alignment or 32))
    header = read_header(path)
    found = {
        key: list(value.decoded()) if isinstance(value, GGUFArray) else value
        for key, value in header.metadata.items()
    }
    assert header.version == version
    assert found == {key: typed.value for key, typed in metadata.items()}
    assert [(t.name, t.shape, t.nbytes) for t in header.tensors] == [
        (t.name, t.shape, t.nbytes) for t in tensors
    ]
    raw = path.read_bytes()
    for tensor in header.tensors:
        start = header.data_offset + tensor.offset
        assert raw[start : start + tensor.nbytes] == b"\xab" * tensor.nbytes


def use_everything(path: Path) -> None:
    header = read_header(path)
    for value in header.metadata.values():
        if isinstance(value, GGUFArray):
            value.decoded()
    ModelShape.from_gguf(header)
    Vocabulary.from_gguf(header)


@fast
@given(data=st.data())
def test_every_truncation_is_a_model_error(tmp_path, data):
    whole = llama()
    path = tmp_path / "m.gguf"
    # The last tensor's padding may be missing: nothing needs it.
    header_and_data = len(whole) - (-(64 * 4) % 32)
    path.write_bytes(whole[: data.draw(st.integers(0, header_and_data - 1))])
    with pytest.raises(ModelError) as error:
        use_everything(path)
    assert error.value.where == str(path)


@fast
@given(
    flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), min_size=1, max_size=6)
)
def test_flipped_bits_are_read_or_refused_and_nothing_else(tmp_path, flips):
    damaged = bytearray(llama())
    for place, mask in flips:
        damaged[place % len(damaged)] ^= mask
    path = tmp_path / "m.gguf"
    path.write_bytes(damaged)
    start = time.process_time()
    try:
        use_everything(path)
    except ModelError as error:
        assert error.message
    assert time.process_time() - start < 2


@fast
@given(noise=st.binary(max_size=400))
def test_noise_after_the_magic_is_refused_or_read(tmp_path, noise):
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF\x03\0\0\0" + noise)
    try:
        use_everything(path)
    except ModelError as error:
        assert error.where == str(path)


def test_a_truncated_file_says_both_sizes(tmp_path):
    path = tmp_path / "m.gguf"
    whole = llama()
    path.write_bytes(whole[:-100])
    with pytest.raises(ModelError) as error:
        read_header(path)
    assert error.value.message == (
        f"truncated: the header promises {len(whole):,} bytes, the file has {len(whole) - 100:,}"
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"GG", "not a GGUF file"),
        (b"PK\x03\x04" + b"\0" * 100, "a zip archive"),
        (b"version https://git-lfs", "git lfs pull"),
        (b"<!doctype html>", "a web page"),
        (b"GGUF\x00\x00\x00\x03" + b"\0" * 16, "big-endian"),
        (b"GGUF\x01\x00\x00\x00" + b"\0" * 16, "GGUF version 1"),
        (b"GGUF\x04\x00\x00\x00" + b"\0" * 16, "GGUF version 4"),
        (b"GGUF\x03\x00\x00\x00" + b"\0" * 10, "truncated or damaged"),
        (b"GGUF\x03\0\0\0" + struct.pack("<QQ", 0, 2**60) + b"\0" * 99, "metadata entries"),
        (b"GGUF\x03\0\0\0" + struct.pack("<QQ", 2**63, 0) + b"\0" * 99, "tensors in 99 bytes"),
        (write_gguf({"a\0b": Typed("u8", 1)}), "zero byte"),
        (write_gguf({"": Typed("u8", 1)}), "empty"),
        (write_gguf({"a": Typed("str", b"\xff\xfe")}), "not UTF-8"),
        (write_gguf({"general.alignment": Typed("u32", 33)}), "power of two"),
        (write_gguf({"general.alignment": Typed("u32", 0)}), "power of two"),
        (write_gguf({}, [Tensor("a", (1,)), Tensor("a", (1,))]), "two tensors of one name"),
        (write_gguf({}, [Tensor("a", (33,), 3)]), "not whole blocks"),
        (write_gguf({}, [Tensor("a", (1, 1, 1, 1, 1))]), "5 dimensions"),
    ],
)
def test_each_kind_of_damage_has_its_reason(tmp_path, content, reason):
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=reason) as error:
        read_header(path)
    assert str(error.value).startswith(f"{path}: ")


def entry(key: bytes, rest: bytes) -> bytes:
    counts = struct.pack("<IQQ", 3, 0, 1)
    return b"GGUF" + counts + struct.pack("<Q", len(key)) + key + rest


@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        (struct.pack("<IIQ", 9, 8, 2**61), "strings in"),
        (struct.pack("<IIQ", 9, 4, 2**62), "truncated or damaged"),
        (struct.pack("<IIQ", 9, 9, 1), "list of values of the unknown type 9"),
        (struct.pack("<I", 13), "unknown type 13"),
        (struct.pack("<IB", 7, 2), "neither 0 nor 1"),
        (struct.pack("<IQ", 8, 2**64 - 1), "truncated or damaged"),
    ],
)
def test_absurd_counts_cost_neither_time_nor_memory(tmp_path, rest, reason):
    path = tmp_path / "m.gguf"
    path.write_bytes(entry(b"k", rest + b"\0" * 64))
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match=reason):
            read_header(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_huge_header_is_refused_within_bounded_memory(tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(entry(b"k", struct.pack("<IIQ", 9, 0, 300 << 20)))
    os.truncate(path, 400 << 20)  # sparse: takes no disk
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match="more than 268,435,456 bytes"):
            read_header(path)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_a_type_newer_than_the_table_is_named_and_not_guessed(tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(write_gguf({}, [Tensor("a", (32,), 57)]))
    (tensor,) = read_header(path).tensors
    assert (tensor.type_name, tensor.nbytes, tensor.values) == ("type 57", None, 32)


def test_accessors_refuse_values_of_another_type(tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(
        write_gguf(
            {
                "text": Typed("str", "x"),
                "negative": Typed("i32", -1),
                "numbers": Typed("i16", [1, 2]),
                "floats": Typed("f32", [1.5]),
                "truth": Typed("bool", True),
            }
        )
    )
    header = read_header(path)
    assert header.text("text") == "x"
    assert header.integers("numbers") == (1, 2)
    assert header.text("absent") is header.integer("absent") is header.texts("absent") is None
    for wrong in (
        lambda: header.text("negative"),
        lambda: header.integer("negative"),
        lambda: header.integer("text"),
        lambda: header.integer("truth"),
        lambda: header.integers("floats"),
        lambda: header.texts("numbers"),
        lambda: header.texts("text"),
    ):
        with pytest.raises(ModelError, match="damaged"):
            wrong()


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_file_is_refused_at_once(tmp_path, make):
    make(tmp_path / "m.gguf")
    with pytest.raises(ModelError, match="not a file"):
        read_header(tmp_path / "m.gguf")


def test_a_missing_file_is_a_model_error(tmp_path):
    with pytest.raises(ModelError, match="No such file"):
        read_header(tmp_path / "m.gguf")


def test_version_errors_name_a_way_out(tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF\x01\0\0\0" + b"\0" * 16)
    with pytest.raises(UnsupportedModelError) as error:
        read_header(path)
    assert "llama.cpp" in (error.value.hint or "")
