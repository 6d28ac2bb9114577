from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.errors import SpecError
from pilotage.spec import Deployment, InvalidSpecError, Portfolio, load, load_file, parse


def complaint(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        parse(text, "spec.yaml")
    return str(caught.value)


def test_the_spec_of_the_design() -> None:
    spec = parse(
        """
name: receipts
model:
  source: hf://meta-llama/Llama-3.2-11B-Vision-Instruct
  revision: 9eb2daa
  engine: auto
  dtype: auto
  max_model_len: 4096
workload:
  arrivals: {rate: 20/s, peak: 80/s, shape: spiky}
  prompt_tokens: {p50: 180, p99: 900}
  completion_tokens: {p50: 60, p99: 128}
  images: {count: 1, width: 512, height: 512}
slo: {ttft_p99: 400ms, tpot_p99: 60ms, e2e_p99: 2s}
budget: {usd_per_month: 14000}
""",
        "receipts.yaml",
    )
    assert isinstance(spec, Deployment)
    assert spec.workload is not None
    assert spec.workload.arrivals.peak == 80
    assert (spec.slo.ttft_p99, spec.slo.tpot_p99, spec.slo.e2e_p99) == (0.4, 0.06, 2)
    assert spec.model.revision == "9eb2daa"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "workload:\n  arrivals: {rate: 1/s}\n  arivals: 1\n",
            'spec.yaml:3: workload.arivals: unknown key; did you mean "arrivals"?',
        ),
        ("\n\nport: 8000", 'spec.yaml:3: port: unknown key; did you mean "serving.port"?'),
        (
            "extras: {}",
            "spec.yaml:1: extras: unknown key; known keys: name, model, workload, slo, budget, "
            "serving, routing, shipping",
        ),
        ("name: no", 'spec.yaml:1: name: should be text, but YAML reads no as false; write "no"'),
        (
            "model: {revision: 1234567}",
            "spec.yaml:1: model.revision: should be text, but YAML reads 1234567 as a number; "
            'write "1234567"',
        ),
        (
            "serving:\n  port: 0777",
            "spec.yaml:2: serving.port: YAML versions disagree on what 0777 means; "
            'write a plain decimal number, or "0777" for text',
        ),
        (
            "serving: {port: abc}",
            'spec.yaml:1: serving.port: should be a whole number, got "abc"',
        ),
        (
            "serving: {port: 70000}",
            "spec.yaml:1: serving.port: should be at most 65535, got 70000",
        ),
        (
            "serving: {kv_cache: 12}",
            "spec.yaml:1: serving.kv_cache: should be at least 1MiB, got 12",
        ),
        (
            "serving: {prefix_caching: maybe}",
            'spec.yaml:1: serving.prefix_caching: should be true or false, got "maybe"',
        ),
        (
            "model: {dtype: bf15}",
            "spec.yaml:1: model.dtype: should be one of auto, bf16, fp16, fp32, int8, int4, fp8; "
            'got "bf15"; did you mean "bf16"?',
        ),
        (
            "model: hf://a/b",
            "spec.yaml:1: model: should be a section with keys such as source, revision, sha256; "
            'got "hf://a/b"',
        ),
        (
            "slo: {ttft_p99: 400millis}",
            'spec.yaml:1: slo.ttft_p99: unknown unit "millis" in "400millis"; '
            "units are us, ms, s, m, min, h, d",
        ),
        ("slo: {ttft_p99: 0}", "spec.yaml:1: slo.ttft_p99: should be more than 0s, got 0"),
        ("workload:\n", None),
        ("workload: {}", "spec.yaml:1: workload.arrivals: is required"),
        (
            "workload:\n  arrivals:\n    shape: batch",
            "spec.yaml:2: workload.arrivals.rate: is required",
        ),
        (
            "deployments:\n- name: a\n- name: b\n- name: a",
            'spec.yaml:4: deployments[2].name: the name "a" is taken by an earlier deployment; '
            "each needs its own",
        ),
        (
            "deployments:\n- name: a\n  slow: {}",
            'spec.yaml:3: deployments[0].slow: unknown key; did you mean "slo"?',
        ),
        ("deployments: []", "spec.yaml:1: deployments: should have at least one entry"),
        ("name: a\nname: b", "spec.yaml:2: name: given twice, first in line 1"),
        ("a:\n\tb: 1", "spec.yaml:2: YAML syntax: a tab; indent with spaces"),
        (
            "model: {source: [",
            "spec.yaml:1: YAML syntax: expected the node content, but found '<stream end>' "
            "(while parsing a flow node that began in line 1)",
        ),
        (
            "name: a\n---\nname: b",
            "spec.yaml:2: YAML syntax: a second document begins here (---); a spec file holds one",
        ),
        (
            "",
            'spec.yaml: the file is empty. A spec holds at least a name, such as "name: demo"',
        ),
        (
            "- a",
            "spec.yaml:1: should be a spec with keys such as name and model, but is a list",
        ),
        (
            "just words",
            "spec.yaml:1: should be a spec with keys such as name and model, but is a single value",
        ),
        ("? [a]\n: b", "spec.yaml:1: a key should be a word, not a list or a section"),
        ("name: \x00", "spec.yaml:1: a character that YAML does not allow (U+0000)"),
        (
            "name: !!python/object:os.system {}",
            "spec.yaml:1: name: the YAML tag tag:yaml.org,2002:python/object:os.system is not "
            "supported; remove it",
        ),
        ("budget: {usd_per_month: .inf}", None),
        ("name: 2024-13-45", None),
        ("serving: {port: 1:30}", None),
        ("model: {source: }", "spec.yaml:1: model.source: should be text, got nothing"),
    ],
)  # fmt: skip
def test_each_error_says_where_what_and_what_to_do(text: str, expected: str | None) -> None:
    if text == "workload:\n":
        assert parse(text, "spec.yaml") == Deployment()
    elif expected is None:
        assert complaint(text).startswith("spec.yaml:1: ")
    else:
        assert complaint(text) == expected


def test_all_errors_of_a_file_come_at_once_in_its_order() -> None:
    text = "nme: x\nserving:\n  port: abc\n  port: 1\n  workers: 0777\nslo: {e2e_p99: -1s}\n"
    with pytest.raises(InvalidSpecError) as caught:
        parse(text, "spec.yaml")
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        ["spec.yaml:1", "nme"],
        ["spec.yaml:3", "serving.port"],
        ["spec.yaml:4", "serving.port"],
        ["spec.yaml:5", "serving.workers"],
        ["spec.yaml:6", "slo.e2e_p99"],
    ]
    data = caught.value.as_dict()
    assert data["type"] == "SpecError"
    assert [problem["where"] for problem in data["problems"]] == [
        f"spec.yaml:{line}" for line in (1, 3, 4, 5, 6)
    ]


def test_empty_sections_are_defaults() -> None:
    assert parse("serving:\nslo:\nmodel:\nbudget:\nname: default", "spec.yaml") == Deployment()


def test_aliases_are_refused_before_they_unfold() -> None:
    bomb = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20)
    )
    assert complaint(bomb) == (
        'spec.yaml:2: "*a": anchors and aliases are not supported; repeat the value'
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: " + "[" * 10_000, "nested more than"),
        ("a: [" + "1," * 30_000, "more than 20000 values"),
    ],
)
def test_no_file_is_too_much(text: str, words: str) -> None:
    assert words in complaint(text)


def test_control_characters_do_not_reach_the_terminal() -> None:
    for text in (r'model: {dtype: "\e[31m\n\u2028"}', r'"\e[31m": 1', r'slo: {ttft_p99: "1\e"}'):
        assert complaint(text).isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "routing: {ledger: {url_env: 'postgresql://u:hunter2@h/db'}, tiers: []}",
        "routing: {tiers: [{name: a, backends: [{kind: openai, api_key_env: sk-hunter2}]}]}",
    ],
)
def test_a_secret_in_the_place_of_its_variable_is_not_repeated(text: str) -> None:
    said = complaint(text)
    assert "should be the name of an environment variable" in said
    assert "hunter2" not in said


def test_long_values_are_quoted_short() -> None:
    for text in ("serving: {port: " + "9" * 5000 + "}", "model: {dtype: " + "x" * 5000 + "}"):
        assert len(complaint(text)) < 250


@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from("ab:-{}[],&*!|>'\"#%@`? \n\t.01~"), max_size=60))
def test_any_text_gives_a_spec_or_a_spec_error(text: str) -> None:
    try:
        assert isinstance(parse(text, "spec.yaml"), Deployment | Portfolio)
    except SpecError as error:
        assert str(error).startswith("spec.yaml")


SECTIONS = st.sampled_from(["name", "model", "workload", "slo", "budget", "serving", "x"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["source", "arrivals", "rate", "p50", "port", "ttft_p99", "count"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


# Hypothesis now and then takes the recursion, which is there, for missing.
@pytest.mark.filterwarnings("ignore:extend=")
@settings(deadline=None)
@given(st.dictionaries(SECTIONS, VALUES, max_size=4))
def test_any_data_gives_a_spec_or_a_spec_error(data: dict[str, object]) -> None:
    import yaml

    try:
        parse(yaml.safe_dump(data), "spec.yaml")
    except SpecError as error:
        assert all(line.startswith("spec.yaml") for line in str(error).splitlines())


def test_load_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "demo.yaml"
    file.write_text("\ufeffname: demo\nmodel: {source: ./m.gguf}\n", encoding="utf-8")
    assert load(file).name == "demo"
    assert load(str(file), "demo").model.local_path == tmp_path / "m.gguf"
    with pytest.raises(SpecError, match=r'there is no deployment "other"\. There is demo'):
        load(file, "other")


def test_a_portfolio_asks_which_one(tmp_path: Path) -> None:
    file = tmp_path / "house.yaml"
    file.write_text("deployments: [{name: a}, {name: b}]")
    assert isinstance(load_file(file), Portfolio)
    assert load(file, "b").name == "b"
    with pytest.raises(SpecError, match="a portfolio of 2 deployments: a, b"):
        load(file)
    file.write_text("deployments: [{name: a}]")
    assert load(file).name == "a"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "there is no such file"),
        (b"name: \xff\n", "is not UTF-8 text"),
        (b"# " + b"x" * (1024 * 1024), "is larger than 1 MiB"),
    ],
)
def test_files_that_are_no_spec(tmp_path: Path, content: bytes | None, words: str) -> None:
    file = tmp_path / "demo.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SpecError) as caught:
        load(file)
    assert words in str(caught.value)
    assert str(caught.value).startswith(str(file))


def test_a_folder_and_impossible_names(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="is a folder"):
        load(tmp_path)
    with pytest.raises(SpecError, match="cannot be read"):
        load(tmp_path / ("x" * 5000))
    with pytest.raises(SpecError, match="no valid file name"):
        load("a\0b")
