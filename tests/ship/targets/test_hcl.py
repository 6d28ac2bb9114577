"""Terraform's language: texts that cannot break out, and lines as fmt leaves them."""

import shutil
import subprocess
from pathlib import Path

import pytest

from pilotage.ship.targets.hcl import Raw, block, document, quoted


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("plain", '"plain"'),
        ('a "b"', '"a \\"b\\""'),
        ("${var.x}", '"$${var.x}"'),
        ("%{if true}", '"%%{if true}"'),
        ("two\nlines", '"two\\nlines"'),
        ("ü", '"ü"'),
    ],
)
def test_texts_are_texts_and_no_templates(text: str, written: str) -> None:
    assert quoted(text) == written


def test_neighbours_are_aligned_and_longer_values_stand_alone() -> None:
    written = block(
        "module",
        ("one",),
        {"a": 1, "longer": True, "list": ["x" * 50, "y" * 50], "b": Raw("var.b"), "m": {"k y": []}},
    )
    assert written == (
        'module "one" {\n'
        "  a      = 1\n"
        "  longer = true\n"
        "\n"
        "  list = [\n"
        f'    "{"x" * 50}",\n'
        f'    "{"y" * 50}",\n'
        "  ]\n"
        "\n"
        "  b = var.b\n"
        "\n"
        "  m = {\n"
        '    "k y" = []\n'
        "  }\n"
        "}"
    )


@pytest.mark.skipif(shutil.which("terraform") is None, reason="terraform is not installed")
def test_fmt_agrees(tmp_path: Path) -> None:
    nested = {"a": {"b": {"c": 1, "dd": 2}, "e": [{"f": 1}]}, "x": 1.5, "empty": {}, "none": []}
    text = document([block("locals", (), nested), block("locals", (), {})])
    (tmp_path / "a.tf").write_text(text)
    checked = subprocess.run(
        ["terraform", "fmt", "-check", "-diff"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.stdout == ""
    assert checked.returncode == 0
