"""The little vision-language model: its pictures, its files, and what it answers."""

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
# The scripts lie beside the package, not in it; `running` starts servers for tests.
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "serve")]

from running import serving  # noqa: E402
from scripts.shapes.exams import TEST_SEED, Exam, exams, marked  # noqa: E402
from scripts.shapes.pictures import make_picture  # noqa: E402
from scripts.shapes.questions import KINDS, questions  # noqa: E402
from scripts.shapes.scene import (  # noqa: E402
    LONGEST_SIDE,
    SHORTEST_SIDE,
    Digit,
    Figure,
    Scene,
)

FOLDER = ROOT / "models" / "shapes-vlm"
MOST_BYTES = 8_000_000


def test_a_picture_is_the_same_for_the_same_numbers_and_another_for_others() -> None:
    picture, same = make_picture(7, 3), make_picture(7, 3)
    assert same.scene == picture.scene
    assert same.spots == picture.spots
    pixels = picture.image.tobytes()
    assert same.image.tobytes() == pixels
    assert make_picture(7, 4).image.tobytes() != pixels
    assert make_picture(8, 3).image.tobytes() != pixels


def test_pictures_vary_in_size_and_proportions() -> None:
    pictures = [make_picture(9, index) for index in range(60)]
    assert all(
        SHORTEST_SIDE <= side <= LONGEST_SIDE for picture in pictures for side in picture.image.size
    )
    assert all((p.scene.width, p.scene.height) == p.image.size for p in pictures)
    proportions = [p.image.width / p.image.height for p in pictures]
    assert min(proportions) < 0.55
    assert max(proportions) > 1.8


def said(scene: Scene) -> dict[str, str]:
    """Every question that may be asked about a scene, and its answer, which is always the same."""
    found: dict[str, str] = {}
    for seed in range(400):
        for question in questions(scene, np.random.default_rng(seed)):
            assert found.setdefault(question.text, question.answer) == question.answer
    return found


def test_answers_say_what_is_in_the_scene() -> None:
    figures = (
        Figure("circle", "red", column=0, row=0),
        Figure("square", "blue", column=1, row=0),
        Figure("square", "yellow", column=1, row=1),
    )
    found = said(Scene(300, 300, columns=2, rows=2, figures=figures))
    wanted = {
        "What colour is the shape at the top left?": "red",
        "What colour is the shape at the bottom?": "yellow",
        "How many shapes are there?": "3",
        "What shape is on the left?": "circle",
        "What shape is at the bottom right?": "square",
        "What do you see?": "a red circle, a blue square and a yellow square",
    }
    assert {text: found.get(text) for text in wanted} == wanted
    assert not any("at the top?" in text for text in found)  # there are two


def test_one_figure_is_asked_for_by_its_name() -> None:
    figures = (Figure("cross", "green", column=1, row=0),)
    found = said(Scene(300, 140, columns=2, rows=1, figures=figures))
    wanted = {
        "What colour is the cross?": "green",
        "Where is the green cross?": "right",
        "What shape is on the right?": "cross",
        "Count the shapes.": "1",
    }
    assert {text: found.get(text) for text in wanted} == wanted


def test_a_digit_is_asked_about_as_a_digit() -> None:
    scene = Scene(90, 200, columns=1, rows=2, digit=Digit(7, "green"))
    found = {q.kind: q.answer for q in questions(scene, np.random.default_rng(0))}
    assert found == {"colour": "green", "digit": "7", "describe": "a green 7"}


def test_every_kind_is_in_an_exam_and_every_picture_another() -> None:
    given = list(exams(24))
    assert [exam.question.kind for exam in given] == [*KINDS] * 4
    assert len({exam.image.tobytes() for exam in given}) == 24


def test_the_weights_are_small_and_no_file_can_run_code() -> None:
    names = {path.name for path in FOLDER.iterdir()}
    assert names == {
        "LICENSE",
        "README.md",
        "chat_template.jinja",
        "config.json",
        "example.png",
        "generation_config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    weights = FOLDER / "model.safetensors"
    assert weights.stat().st_size <= MOST_BYTES
    with weights.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    assert {entry["dtype"] for name, entry in header.items() if name != "__metadata__"} == {"F16"}


@pytest.fixture(scope="module")
def few() -> list[Exam]:
    return list(exams(60))


@pytest.fixture(scope="module")
def in_process(few: list[Exam]) -> list[str]:
    """What transformers alone makes the model answer."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from scripts.shapes.reference import answer_in_process

    return answer_in_process(FOLDER, few)


def test_it_answers_unseen_pictures(few: list[Exam], in_process: list[str]) -> None:
    report = marked(few, in_process)
    assert report.accuracy >= 0.95, report.right


def test_training_and_transformers_cut_pictures_alike() -> None:
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from scripts.shapes.album import make_album
    from scripts.shapes.eyes import PREPROCESSOR

    assert json.loads((FOLDER / "preprocessor_config.json").read_text()) == PREPROCESSOR
    album = make_album(TEST_SEED + 1, 24, processes=1, travelled=False)
    images = [[make_picture(TEST_SEED + 1, index).image] for index in range(24)]
    options = {k: v for k, v in PREPROCESSOR.items() if k != "image_processor_type"}
    batch = transformers.MllamaImageProcessorPil(**options)(images, return_tensors="np")
    np.testing.assert_allclose(
        album.pixel_values(np.arange(24)), batch["pixel_values"][:, 0], atol=1e-6
    )
    assert album.aspect_ratio_ids.tolist() == batch["aspect_ratio_ids"][:, 0].tolist()


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    """A real `pilotage serve` of the model."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    with serving(str(FOLDER), "--max-num-seqs", "16", "--ttft-p99", "120s") as server:
        yield server.base


def test_the_server_gives_the_answers_of_transformers(
    server_url: str, few: list[Exam], in_process: list[str]
) -> None:
    from scripts.shapes.client import answer_over_http

    some = few[:12]  # two of every kind
    over_http = answer_over_http(server_url, some)
    assert over_http == in_process[:12]
    assert marked(some, over_http).accuracy >= 0.9


def test_the_example_of_the_readme(server_url: str) -> None:
    import httpx

    response = httpx.post(
        f"{server_url}/infer",
        data={"text_prompt": "What do you see?", "temperature": "0"},
        files={"image": (FOLDER / "example.png").read_bytes()},
        timeout=120,
        trust_env=False,
    )
    assert response.status_code == 200, response.text
    assert response.json()["text"] == "a red circle, a yellow triangle and a blue square"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_hundred_unseen_pictures_over_http(server_url: str) -> None:
    from scripts.shapes.client import answer_over_http
    from scripts.shapes.reference import answer_in_process

    given = list(exams(200))
    report = marked(given, answer_over_http(server_url, given))
    assert report.accuracy >= 0.95, report.right
    assert report.answers == answer_in_process(FOLDER, given)
