"""compiled.json: what is written is read, and what is damaged is refused."""

import json

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pilotage.engines.compiled.manifest import (
    MANIFEST,
    CompiledManifest,
    FileRecord,
    NetworkRecord,
    Operators,
    check_file,
    checked_bytes,
    digest_of_files,
    is_artifact,
    read_manifest,
    record_of,
)
from pilotage.errors import ModelError


def manifest(**changes):
    network = NetworkRecord(
        length=16,
        batch=1,
        compile_s=1.0,
        run_s=0.1,
        operators=Operators(total=4, taken=3, kinds={"a": 4}, left={"a": 1}),
        file="networks/16x1.pt",
    )
    facts = {
        "pilotage": "0",
        "created": "2026-11-22T00:00:00+00:00",
        "source": "hf://a/b",
        "source_sha256": "0" * 64,
        "task": "embed",
        "target": "neuron",
        "engine": "neuron",
        "compiler": "torch-neuronx 2",
        "flags": ("--target=inf2",),
        "device": "Inferentia2 (inf2, NeuronCore-v2)",
        "dtype": "bf16",
        "buckets": (16,),
        "batches": (1,),
        "inputs": ("input_ids",),
        "networks": (network,),
        "files": {"networks/16x1.pt": FileRecord(3, "1" * 64)},
    }
    return CompiledManifest(**facts | changes)


def test_it_comes_back(tmp_path):
    assert not is_artifact(tmp_path)
    (tmp_path / MANIFEST).write_bytes(manifest().encode())
    assert is_artifact(tmp_path)
    read = read_manifest(tmp_path)
    assert read == manifest()
    assert (read.longest, read.networks[0].name, read.networks[0].operators.share) == (
        16,
        "16x1",
        0.75,
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"buckets": ()}, "ascending"),
        ({"buckets": (32, 16)}, "ascending"),
        ({"batches": (0,)}, "ascending"),
        ({"buckets": (16, 32)}, "networks are not those"),
        ({"networks": ()}, "networks are not those"),
        ({"files": {}}, "16x1.pt"),
        ({"files": {"networks/16x1.pt": FileRecord(1, ""), "../x": FileRecord(1, "")}}, r"\.\./x"),
        ({"files": {"networks/16x1.pt": FileRecord(1, ""), "/x": FileRecord(1, "")}}, "/x"),
        ({"schema": "pilotage.compiled/9"}, "another form"),
    ],
)
def test_what_contradicts_itself(tmp_path, changes, says):
    (tmp_path / MANIFEST).write_bytes(manifest(**changes).encode())
    with pytest.raises(ModelError, match=says):
        read_manifest(tmp_path)


def test_none(tmp_path):
    with pytest.raises(ModelError, match="No such file"):
        read_manifest(tmp_path)


def _says_the_same(damaged: bytes, whole: bytes) -> bool:
    """White space that was lost at the end is no damage."""
    try:
        return json.loads(damaged) == json.loads(whole)
    except ValueError:
        return False


@given(st.data())
def test_damage_is_one_error(tmp_path_factory, data):
    whole = manifest().encode()
    cut = data.draw(st.integers(0, len(whole) - 3))
    junk = data.draw(st.binary(max_size=6))
    damaged = whole[:cut] + junk
    assume(not _says_the_same(damaged, whole))
    folder = tmp_path_factory.mktemp("damaged")
    (folder / MANIFEST).write_bytes(damaged)
    with pytest.raises(ModelError, match=r"damaged|another form"):
        read_manifest(folder)


def test_a_wrong_type(tmp_path):
    data = msgspec.to_builtins(manifest()) | {"buckets": ["sixteen"]}
    (tmp_path / MANIFEST).write_text(json.dumps(data))
    with pytest.raises(ModelError, match=r"damaged.*buckets"):
        read_manifest(tmp_path)


def test_files_are_held_against_their_digests(tmp_path):
    path = tmp_path / "networks" / "16x1.pt"
    path.parent.mkdir()
    path.write_bytes(b"abc")
    whole = manifest(files={"networks/16x1.pt": record_of(path)})
    assert checked_bytes(tmp_path, whole, "networks/16x1.pt") == b"abc"
    assert check_file(tmp_path, whole, "networks/16x1.pt") == path
    path.write_bytes(b"abd")
    for check in (checked_bytes, check_file):
        with pytest.raises(ModelError, match="not the file that was compiled"):
            check(tmp_path, whole, "networks/16x1.pt")
    path.unlink()
    for check in (checked_bytes, check_file):
        with pytest.raises(ModelError, match="cannot be read"):
            check(tmp_path, whole, "networks/16x1.pt")


def test_the_digest_of_several_files_is_sha256sums(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"2")
    one = digest_of_files(tmp_path, ["a", "b"])
    assert one == digest_of_files(tmp_path, ["b", "a"])
    # (cd FOLDER && sha256sum a b) | sha256sum
    assert one == "68c2919f4305e50800082ab7f11eb17d96c7832f59154e97b1d373a5179a63ea"
    (tmp_path / "b").write_bytes(b"3")
    assert one != digest_of_files(tmp_path, ["a", "b"])
