from __future__ import annotations

import json
from pathlib import PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.errors import IntegrityError, SourceError
from pilotage.fetch.manifest import FileEntry, Manifest, checked_path

A, B = "a" * 64, "b" * 64


def manifest(*files):
    return Manifest("pypi://p==1/f", "p==1", files)


@pytest.mark.parametrize(
    "path",
    ["", ".", "..", "a/../b", "/etc/passwd", "a//b", "a/", "C:\\x", "c:x", "a\\b", "a\0b", "a\nb",
     "a/./b", "x" * 250, "é" * 130, "a/" * 600 + "a", "\u202egpj.exe", None, 3],
)  # fmt: skip
def test_hostile_paths_are_refused(path):
    with pytest.raises(SourceError, match="cannot be stored safely"):
        checked_path(path)


@given(st.text(st.sampled_from("ab./\\:\0 é~"), max_size=12))
def test_a_path_that_passes_stays_below_its_folder(path):
    try:
        checked = checked_path(path)
    except SourceError:
        return
    pure = PurePosixPath("/base") / checked
    assert pure.is_relative_to("/base")
    assert ".." not in pure.parts
    assert checked == path


def test_json_round_trip():
    whole = manifest(FileEntry("a/b", 3, A), FileEntry("c", 0, B))
    assert Manifest.from_dict(json.loads(json.dumps(whole.as_dict()))) == whole


@settings(max_examples=50)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["files", "source", "id", "path", "size"]), inner)
        ),
    )
)
def test_json_of_another_shape_is_a_value_error(data):
    with pytest.raises(ValueError, match="not a manifest"):
        Manifest.from_dict(data)


@pytest.mark.parametrize(
    ("promised", "arrived", "reason"),
    [
        (FileEntry("f", 3, A), FileEntry("f", 3, B), f"expected sha256 {A}, found {B}"),
        (FileEntry("f", 3, None), FileEntry("f", 4, B), "has 4 bytes where 3 were promised"),
        (FileEntry("f"), FileEntry("g", 4, B), "not the files that were promised: f, g"),
    ],
)
def test_what_arrived_must_be_what_was_promised(promised, arrived, reason):
    with pytest.raises(IntegrityError, match=reason):
        manifest(promised).check_arrived(manifest(arrived))


def test_a_promise_without_numbers_takes_what_comes():
    manifest(FileEntry("f")).check_arrived(manifest(FileEntry("f", 4, B)))


def test_a_digest_that_contradicts_the_source_is_found_before_the_first_byte():
    with pytest.raises(IntegrityError, match=f"expected sha256 {B}, found {A}"):
        manifest(FileEntry("f", 3, A)).expecting(B)


def test_a_git_sha1_is_compared_where_it_alone_was_promised():
    git, other = "1" * 40, "2" * 40
    promised = manifest(FileEntry("f", 3, None, git))
    promised.check_arrived(manifest(FileEntry("f", 3, A, git)))
    for found in (other, None):
        with pytest.raises(IntegrityError, match=f"expected git-sha1 {git}, found {found}"):
            promised.check_arrived(manifest(FileEntry("f", 3, A, found)))
    manifest(FileEntry("f", 3, A, git)).check_arrived(manifest(FileEntry("f", 3, A)))


def test_json_carries_a_git_sha1_only_where_there_is_one():
    whole = manifest(FileEntry("a", 3, A, "1" * 40), FileEntry("b", 0, B))
    data = json.loads(json.dumps(whole.as_dict()))
    assert Manifest.from_dict(data) == whole
    assert "git_sha1" not in data["files"][1]
    data["files"][0]["git_sha1"] = "../../x"
    with pytest.raises(ValueError, match="a git-sha1 that is none"):
        Manifest.from_dict(data)
