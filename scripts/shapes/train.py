"""Trains the model from nothing and saves it: tokenizer, pictures, weights, all from one seed.

    nice -n 5 python -m scripts.shapes.train --out models/shapes-vlm

First the eyes, from labels of patches and counts (`eyes_lesson`); then both, from questions
(`together_lesson`); then the words, about what the finished eyes have seen (`words_lesson`). The
schedules are fixed in steps, not in time, so that a slower machine ends with the same model up to
the rounding of its arithmetic.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import torch
from scripts.shapes.album import Album, make_album
from scripts.shapes.architecture import make_model
from scripts.shapes.conversation import CHAT_TEMPLATE
from scripts.shapes.eyes import PREPROCESSOR
from scripts.shapes.eyes_lesson import teach_eyes
from scripts.shapes.schedule import Schedule
from scripts.shapes.team import Team, work_together
from scripts.shapes.together_lesson import teach_together
from scripts.shapes.tokenizer import train_tokenizer
from scripts.shapes.whitening import whitening
from scripts.shapes.words_lesson import teach_words
from transformers import AutoTokenizer, MllamaForConditionalGeneration

VALIDATION_SEED = 1_000_003
"""Pictures to watch the training by. Tests use other seeds again."""

EYES = Schedule(steps=1300, batch=64, rate=2e-3)
TOGETHER = Schedule(steps=1300, batch=32, rate=1.5e-3)
WORDS = Schedule(steps=800, batch=32, rate=1e-3)


def main() -> None:
    """Trains and saves."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument("--go-on", type=Path, help="a folder of this program's, to go on from")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=16_000)
    parser.add_argument("--eyes", type=int, default=EYES.steps, help="steps for the eyes")
    parser.add_argument("--together", type=int, default=TOGETHER.steps, help="steps for both")
    parser.add_argument("--words", type=int, default=WORDS.steps, help="steps for the words")
    parser.add_argument("--rate", type=float, default=WORDS.rate, help="highest rate of the words")
    parser.add_argument("--processes", type=int, default=2, help="another number, another model")
    options = parser.parse_args()
    began = time.monotonic()
    go_on = options.go_on
    tokenizer = AutoTokenizer.from_pretrained(go_on) if go_on else train_tokenizer(options.seed)
    album = make_album(options.seed, options.pictures, options.processes)
    watched = make_album(VALIDATION_SEED, 300, options.processes)
    print(f"{options.pictures} pictures after {time.monotonic() - began:.0f} s", flush=True)
    model = _model(go_on, options.seed, album)
    eyes = dataclasses.replace(EYES, steps=options.eyes)
    together = dataclasses.replace(TOGETHER, steps=options.together)
    words = dataclasses.replace(WORDS, steps=options.words, rate=options.rate)

    def work(team: Team) -> None:
        if go_on is None:
            teach_eyes(model, album, eyes, options.seed, team)
            teach_together(model, tokenizer, album, schedule=together, seed=options.seed, team=team)
        teach_words(
            model,
            tokenizer,
            album=album,
            watched=watched,
            schedule=words,
            seed=options.seed,
            team=team,
        )
        if team.rank == 0:
            save(model, tokenizer, options.out)

    work_together(options.processes, work)
    print(f"saved in {options.out} after {time.monotonic() - began:.0f} s", flush=True)


def _model(folder: Path | None, seed: int, album: Album) -> Any:
    """A model to train: an empty one, or what was saved before, whose eyes are finished."""
    if folder is not None:
        return MllamaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    model = make_model(seed)
    model.model.vision_model.patch_embedding.weight.data = whitening(album)
    return model


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Writes the folder that servers load: weights in 16 bits, to be computed with in 32."""
    folder.mkdir(parents=True, exist_ok=True)
    model.eval()
    model.generation_config.do_sample = False
    model.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR, indent=2) + "\n")
    config = json.loads((folder / "config.json").read_text())
    config["dtype"] = "float32"
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    main()
