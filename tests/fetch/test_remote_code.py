from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.errors import SourceError
from pilotage.fetch.manifest import FileEntry
from pilotage.fetch.remote_code import check_configs, may_name_code, named_code
from pilotage.fetch.selection import Selection

NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abcdef", max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(around=NESTED, depth=st.lists(st.booleans(), max_size=6))
def test_code_is_found_at_any_depth(tmp_path_factory, around, depth):
    node = {"auto_map": {"AutoModel": "m.Model", "AutoTokenizer": ["t.Slow", None]}}
    for in_list in depth:
        node = [around, node] if in_list else {"x": node, "y": around}
    path = tmp_path_factory.mktemp("configs") / "config.json"
    path.write_text(json.dumps(node))
    assert named_code(path) == ("m.Model", "t.Slow")
    path.write_text(json.dumps({"rest": around}))
    assert named_code(path) == ()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ()),
        ("nonsense", ()),
        ("[" * 100_000, ()),
        ('"auto_map"', ()),
        ('{"auto_map": null}', ()),
        ('{"auto_map": 7}', ("auto_map",)),
        ('{"auto_map": {"a": "x.Y"}, "auto_map": {}}', ("x.Y",)),
        ('{"custom_pipelines": {"p": {"impl": "pipe.P"}}}', ("pipe.P",)),
    ],
)
def test_odd_configurations(tmp_path, text, found):
    path = tmp_path / "config.json"
    path.write_text(text)
    assert named_code(path) == found


def test_only_configurations_are_read(tmp_path):
    assert may_name_code(FileEntry("a/tokenizer_config.json"))
    assert may_name_code(FileEntry("Config.JSON"))
    assert not may_name_code(FileEntry("tokenizer.json"))
    (tmp_path / "config.json").write_text('{"auto_map": {"a": "evil\\n.Y"}}')
    files = [FileEntry("config.json"), FileEntry("weights.safetensors")]
    with pytest.raises(SourceError) as error:
        check_configs(files, tmp_path, Selection(), where="hf://org/model")
    assert str(error.value).isprintable()
    check_configs(files, tmp_path, Selection.of(["config.json"]), where="hf://org/model")
