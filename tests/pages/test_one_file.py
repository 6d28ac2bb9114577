"""A page names its own style and script by hash, and escapes everything else."""

import base64
import hashlib
import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from pilotage.pages import one_file

TEMPLATE = """\
<meta http-equiv="Content-Security-Policy" content="{{ policy }}">
<style>{{ style }}</style>{% if script %}<script>{{ script }}</script>{% endif %}
<p>{{ said }}</p>
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    folder = tmp_path / "a_page_of_a_test"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "page.html.j2").write_text(TEMPLATE)
    (folder / "page.css").write_text("p > b { color: red }\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder.name


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def test_only_the_pages_own_style_and_script_run(package: str) -> None:
    style = one_file.read(package, "page.css")
    page = one_file.render(package, "page.html.j2", style=style, script="a < b", said="<script>")
    policy = re.search(r'content="([^"]*)"', page)
    assert policy is not None
    assert policy[1].replace("&#39;", "'") == (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash('a < b')}'"
    )
    assert f"<style>{style}</style>" in page
    assert "<script>a < b</script>" in page
    assert "<p>&lt;script&gt;</p>" in page


def test_without_a_script_none_may_run(package: str) -> None:
    page = one_file.render(package, "page.html.j2", style="", said="")
    assert "script" not in page


def test_what_a_template_wants_must_be_there(package: str) -> None:
    with pytest.raises(UndefinedError, match="said"):
        one_file.render(package, "page.html.j2", style="")
