"""The worked example of docs/encoders.md, run as it stands there."""

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from running import serving

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "encoders.md").read_text()


@pytest.mark.slow
def test_the_worked_example() -> None:
    (spec,) = re.findall(r"^\$ pilotage serve (\S+)$", PAGE, re.MULTILINE)
    (source,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    with serving(str(ROOT / spec)) as server:
        names: dict[str, object] = {}
        exec(compile(source.replace("http://127.0.0.1:8000", server.base), "page", "exec"), names)
    assert "dog" in names


def test_the_page_shows_the_example_spec() -> None:
    shown = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[0]
    example = (ROOT / "examples" / "embeddings.yaml").read_text()
    for line in shown.splitlines():
        assert line.split("   #")[0] in example
