from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.errors import PilotageError, SourceError, UsageError
from pilotage.fetch import parse_source
from pilotage.fetch.sources import FileSource, PypiSource
from pilotage.fetch.sources import file as file_module

HTTP = ["hf://", "hf://o/n", "hf://o/n/", "https://", "https://h/f", "https://h/f#"]
FULL = "pypi://tiny==1.0/tiny/model.gguf"


def test_pypi_uris_are_brought_to_one_form():
    source = parse_source("PyPI://Tiny_Model.x==1.0/a/B.gguf")
    assert source == PypiSource("tiny-model-x", "1.0", "a/B.gguf")
    assert source.uri == "pypi://tiny-model-x==1.0/a/B.gguf"
    assert source.in_place is None
    (file,) = source.resolve().files
    assert (file.path, file.size, file.sha256) == ("B.gguf", None, None)


def test_the_revision_stands_for_the_version():
    assert parse_source("pypi://tiny/tiny/model.gguf", revision="1.0").uri == FULL
    assert parse_source(FULL, revision="1.0").uri == FULL
    with pytest.raises(SourceError, match=r"names version '1\.0' and the revision says '2'"):
        parse_source(FULL, revision="2")


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("pypi://", "not a package name"),
        ("pypi://--index-url=x==1/f", "not a package name"),
        ("pypi://a b==1/f", "not a package name"),
        ("pypi://tiny/f", "exact version"),
        ("pypi://tiny==/f", "exact version"),
        ("pypi://tiny==1;x/f", "exact version"),
        ("pypi://tiny==1.*/f", "exact version"),
        ("pypi://tiny>=1/f", "not a package name"),
        ("pypi://tiny==1", "path of the file in the wheel is missing"),
        ("pypi://tiny==1/", "path of the file in the wheel is missing"),
        ("pypi://tiny==1/../f", "cannot be stored safely"),
        ("hf://", "no owner or name"),
        ("hf://org", "no owner or name"),
        ("hf://org/..", "no owner or name"),
        ("hf://-org/model", "no owner or name"),
        ("hf://org/model@", "is no revision"),
        ("hf://org/model@../x", "no owner or name|is no revision"),
        ("hf://org/model?token=x", "has no query"),
        ("hf://org/model#token=x", "'token' after '#' means nothing"),
        ("hf://org/model#main", "not of the form key=value"),
        ("https://", "names no valid host"),
        ("https://host/", "cannot be stored safely"),
        ("https://host/a%2Fb", "cannot be stored safely"),
        ("https://host/..", "cannot be stored safely"),
        ("https://host/%2e%2e", "cannot be stored safely"),
        ("https://host/a%00", "cannot be stored safely"),
        ("https://host/a.gguf#sha256=12", "64 hex digits"),
        ("https://host/a.gguf#include=*", "this is one file"),
        ("https://user:pass@host/a.gguf", "user name or password"),
        ("swarm://x", "a swarm needs an origin"),
        ("ftp://x/y", "unknown kind of source 'ftp'"),
        ("file://server/share", "not on 'server'"),
        ("file://", "path is empty"),
        ("", "path is empty"),
        ("a\0b", "zero byte"),
    ],
)
def test_what_is_wrong_with_a_source_is_said(uri, reason):
    with pytest.raises(PilotageError, match=reason):
        parse_source(uri)


def test_secrets_in_a_uri_are_not_repeated():
    with pytest.raises(SourceError) as error:
        parse_source("ftp://user:hunter2@example.org/model?token=hunter3#key=hunter4")
    assert "hunter" not in str(error.value)
    assert "pypi://" in str(error.value)
    with pytest.raises(SourceError) as error:
        parse_source("https://user:hunter2@example.org/model?token=hunter3#key=hunter4")
    assert "hunter" not in str(error.value)


@given(st.text(max_size=30), st.sampled_from(["", "pypi://", "file://", "pypi://a==1/", *HTTP]))
def test_any_text_is_a_source_or_a_clear_error(text, prefix):
    try:
        source = parse_source(prefix + text)
    except PilotageError as error:
        assert error.message
    else:
        assert parse_source(source.uri).uri == source.uri


def test_patterns_need_a_choice():
    for source in ("model.gguf", "file:///models/m", FULL):
        with pytest.raises(UsageError, match="there is no choice"):
            parse_source(source, include=["*.gguf"])


def test_a_file_has_no_revision(tmp_path):
    with pytest.raises(SourceError, match="no revisions"):
        parse_source(str(tmp_path), revision="main")


def test_file_uris_decode_what_they_escape():
    assert parse_source("file:///a%20b/c") == FileSource(file_module.Path("/a b/c"))
    assert parse_source("FILE://localhost/c").uri == "file:///c"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "no such file or folder"),
        (lambda path: path.mkdir(), "folder is empty"),
        (os.mkfifo, "neither a file nor a folder"),
        (lambda path: path.symlink_to(path.parent / "gone"), "no such file or folder"),
    ],
)
def test_a_place_without_a_model_is_refused(tmp_path, make, reason):
    make(tmp_path / "m")
    with pytest.raises(SourceError, match=reason) as error:
        parse_source(str(tmp_path / "m")).resolve()
    assert error.value.where == str(tmp_path / "m")


def test_a_folder_of_everything_is_not_a_model(tmp_path, monkeypatch):
    monkeypatch.setattr(file_module, "MAX_FILES", 3)
    for number in range(4):
        (tmp_path / str(number)).touch()
    with pytest.raises(SourceError, match="more than 3 files"):
        parse_source(str(tmp_path)).resolve()


def test_a_file_source_is_never_copied(tmp_path):
    source = FileSource(tmp_path)
    (tmp_path / "f").touch()
    with pytest.raises(SourceError, match="where it lies"):
        source.fetch(source.resolve(), tmp_path, tmp_path, lambda progress: None)


def test_a_user_who_is_not_there_has_no_home() -> None:
    with pytest.raises(SourceError, match="home folder"):
        parse_source("~nobody-of-that-name/model.gguf")
