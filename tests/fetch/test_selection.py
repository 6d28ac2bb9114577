from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.errors import PilotageError, SourceError, UsageError
from pilotage.fetch.selection import Selection

LLAMA = [
    ".gitattributes",
    "LICENSE",
    "README.md",
    "USE_POLICY.md",
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "model.safetensors.index.json",
    "original/consolidated.00.pth",
    "original/params.json",
    "original/tokenizer.model",
    "pytorch_model-00001-of-00002.bin",
    "pytorch_model.bin.index.json",
    "modeling_llama.py",
    "tokenizer.json",
    "training_args.bin",
    "demo.png",
]
QUANTISED = ["README.md", "config.json", "m-Q4_K_M.gguf", "m-Q8_0.gguf", "mmproj-m-f16.gguf"]
SPLIT = ["config.json", "Q8/m-00001-of-00002.gguf", "Q8/m-00002-of-00002.gguf"]


def choose(paths, *include, exclude=()):
    return Selection.of(include, exclude).choose(paths, where="hf://org/model")


def taken(paths, *include, exclude=()):
    return set(choose(paths, *include, exclude=exclude).paths)


def test_the_default_takes_one_weight_format_and_what_goes_with_it():
    choice = choose(LLAMA)
    assert set(LLAMA) - set(choice.paths) == {
        ".gitattributes",
        "original/consolidated.00.pth",
        "pytorch_model-00001-of-00002.bin",
        "pytorch_model.bin.index.json",
        "modeling_llama.py",
        "training_args.bin",
        "demo.png",
    }
    assert choice.unsafe == ()
    assert set(choice.refused) == {
        "original/consolidated.00.pth",
        "pytorch_model-00001-of-00002.bin",
        "modeling_llama.py",
        "training_args.bin",
    }


@pytest.mark.parametrize(
    ("weights", "best"),
    [
        (["a.gguf", "model.safetensors", "m.xml", "m.bin", "o.onnx"], {"model.safetensors"}),
        (["a.gguf", "m.xml", "m.bin", "o.onnx"], {"a.gguf"}),
        (["m.xml", "m.bin", "t.xml", "t.bin", "o.onnx"], {"m.xml", "m.bin", "t.xml", "t.bin"}),
        (["o.onnx", "o.onnx_data", "p.bin"], {"o.onnx", "o.onnx_data"}),
        (["model.onnx", "model.onnx.data", "model_q4.onnx"], {"model.onnx", "model.onnx.data"}),
        (["encoder.onnx", "decoder.onnx"], {"encoder.onnx", "decoder.onnx"}),
        (["model_q4.onnx", "model_q4.onnx_data"], {"model_q4.onnx", "model_q4.onnx_data"}),
        (["model.onnx", "weights.onnx_data"], {"model.onnx", "weights.onnx_data"}),
        (["model.safetensors", "consolidated.safetensors"], {"model.safetensors"}),
        (["consolidated.safetensors", "params.json"], {"consolidated.safetensors", "params.json"}),
        (["model.safetensors", "model.fp16.safetensors"], {"model.safetensors"}),
        (["model.fp16.safetensors"], {"model.fp16.safetensors"}),
        (
            ["unet/model.safetensors", "vae/model.fp16.safetensors"],
            {"unet/model.safetensors", "vae/model.fp16.safetensors"},
        ),
        (["a.gguf", "mmproj-a.gguf", "a.imatrix.gguf"], {"a.gguf"}),
        (SPLIT, set(SPLIT)),
    ],
)
def test_formats_have_an_order_and_variants_are_left_out(weights, best):
    assert taken(weights) == best


def test_several_quantisations_are_refused_with_their_names():
    with pytest.raises(SourceError) as error:
        choose(QUANTISED)
    assert "2 GGUF files, each a whole model: m-Q4_K_M.gguf, m-Q8_0.gguf" in error.value.message
    assert error.value.hint == "Name one with a pattern, such as --include 'm-Q4_K_M.gguf'"
    with pytest.raises(SourceError, match="2 ONNX files"):
        choose(["model_q4.onnx", "model_int8.onnx"])


@pytest.mark.parametrize(
    ("patterns", "files"),
    [
        (["*Q4_K_M*"], {"m-Q4_K_M.gguf"}),
        (["m-Q8_0.gguf"], {"m-Q8_0.gguf"}),
        (["*.gguf"], {"m-Q4_K_M.gguf", "m-Q8_0.gguf", "mmproj-m-f16.gguf"}),
        (["*", "*Q8_0.gguf"], {"README.md", "config.json", "m-Q8_0.gguf"}),
        (["config.json"], {"config.json"}),
        (["c*"], {"config.json"}),
    ],
)
def test_patterns_name_files_or_narrow_what_is_chosen_from(patterns, files):
    assert taken(QUANTISED, *patterns) == files


def test_what_is_excluded_is_not_there():
    assert taken(QUANTISED, exclude=["*Q8*", "README.md"]) == {"config.json", "m-Q4_K_M.gguf"}
    assert "original/params.json" not in taken(LLAMA, exclude=["original/"])
    with pytest.raises(SourceError, match="every file is excluded"):
        choose(LLAMA, exclude=["*"])


@pytest.mark.parametrize("folder", ["original", "original/", "original/*"])
def test_a_folder_is_a_pattern(folder):
    assert taken(LLAMA, folder) == {"original/params.json", "original/tokenizer.model"}


PICKLES = ["config.json", "pytorch_model.bin", "rng.pth", "x.pkl", "modeling.py"]


def test_pickles_alone_are_refused_and_the_way_out_is_said():
    with pytest.raises(SourceError) as error:
        choose(PICKLES)
    assert "can run code when it is opened" in error.value.message
    assert "pytorch_model.bin" in error.value.message
    assert "--include '*' --include 'pytorch_model.bin'" in str(error.value.hint)


@pytest.mark.parametrize("wide", ["*", "*model*", "**"])
def test_a_wide_pattern_does_not_take_pickles(wide):
    assert taken(["model.safetensors", *PICKLES], wide) <= {"model.safetensors", "config.json"}


@pytest.mark.parametrize("narrow", ["pytorch_model.bin", "*.bin", "pytorch*.bin"])
def test_a_pickle_is_taken_when_its_kind_is_named(narrow):
    choice = choose(PICKLES, narrow)
    assert choice.paths == choice.unsafe == ("pytorch_model.bin",)


def test_a_pickle_may_stand_for_the_weights_when_it_is_named():
    choice = choose(PICKLES, "*", "pytorch_model.bin")
    assert set(choice.paths) == {"config.json", "pytorch_model.bin"}
    assert set(choice.refused) == {"rng.pth", "x.pkl", "modeling.py"}


@pytest.mark.parametrize(
    "name",
    [
        *("m.bin", "m.BIN", "m.pt", "m.ckpt", "m.joblib", "m.npy", "m.npz", "m.nemo", "m.h5"),
        *("m.keras", "m.tar.gz", "m.engine", "m.llamafile", "lib.so", "run.sh", "n.ipynb", "x.py"),
    ],
)
def test_what_can_run_code_is_never_the_default(name):
    assert name not in taken(["model.safetensors", name])
    assert choose(["model.safetensors", name]).refused == (name,)


def test_a_bin_is_openvino_only_beside_its_xml():
    assert taken(["a/m.xml", "a/m.bin"]) == {"a/m.xml", "a/m.bin"}
    with pytest.raises(SourceError, match="can run code"):
        choose(["a/m.xml", "b/m.bin"])


@pytest.mark.parametrize(
    "name", ["pytorch_model", "pytorch_model-00001-of-00002", "adapter_model", "a/training_args"]
)
def test_an_xml_beside_it_makes_no_pickle_safe(name):
    with pytest.raises(SourceError, match="can run code"):
        choose([f"{name}.xml", f"{name}.bin"])


def test_a_list_made_by_hand_is_taken_whole_or_refused():
    files = ["a.gguf", "b.gguf", "c.png", "d.bin"]
    with pytest.raises(SourceError, match=r"can run code.*d\.bin"):
        Selection().choose_listed(files, where="x")
    assert Selection.of([], ["d.bin"]).choose_listed(files, where="x").paths == tuple(files[:3])
    named = Selection.of(["*", "d.bin"]).choose_listed(files, where="x")
    assert (named.paths, named.unsafe) == (tuple(files), ("d.bin",))


def test_no_weights_and_no_match_are_said():
    with pytest.raises(SourceError, match="there are no weights"):
        choose(["README.md", "config.json"])
    with pytest.raises(SourceError, match=r"no file matches '\*\.ggufs'.*m-Q"):
        choose(QUANTISED, "*.ggufs")
    with pytest.raises(SourceError, match="holds no files"):
        choose([])


def test_remote_code_needs_its_file_named_in_full():
    assert Selection.of(["*", "config.json"]).names("config.json")
    assert Selection.of(["*/config.json"]).names("a/config.json")
    assert not Selection.of(["*", "*.json", "c*"]).names("config.json")
    assert not Selection.of([]).names("config.json")


@pytest.mark.parametrize("pattern", ["", "./", "a\nb", "x" * 600])
def test_odd_patterns_are_refused(pattern):
    with pytest.raises(UsageError, match="pattern of files"):
        Selection.of([pattern])


NAMES = st.lists(
    st.builds(
        str.__add__,
        st.sampled_from(["model", "a/model", "config", "m-00001-of-00002", "onnx/m_q4", "x"]),
        st.sampled_from([".safetensors", ".gguf", ".bin", ".xml", ".json", ".py", ".onnx", ".pt"]),
    ),
    unique=True,
    max_size=12,
)
PATTERNS = st.lists(st.sampled_from(["*", "*.bin", "a/", "*.json", "m*", "*.py"]), max_size=3)


@given(NAMES, PATTERNS, PATTERNS)
def test_whatever_is_chosen_was_there_and_nothing_unsafe_came_unnamed(paths, include, exclude):
    try:
        choice = choose(paths, *include, exclude=exclude)
    except PilotageError as error:
        assert error.message
        return
    assert choice.paths
    assert set(choice.paths) <= set(paths)
    assert list(choice.paths) == [path for path in paths if path in choice.paths]
    for path in choice.paths:
        if path.endswith((".py", ".pt")):
            assert path.endswith(".py")
            assert "*.py" in include
            assert path in choice.unsafe
