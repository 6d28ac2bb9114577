"""Answers of the model in this process, by transformers alone: what a server must equal."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from scripts.shapes.conversation import MAX_NEW_TOKENS, conversation
from scripts.shapes.exams import Exam
from transformers import (
    AutoTokenizer,
    MllamaForConditionalGeneration,
    MllamaImageProcessorPil,
    MllamaProcessor,
)


def answer_in_process(folder: Path, given: list[Exam], batch: int = 16) -> list[str]:
    """Greedy answers of the model in `folder`, by transformers alone."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    options = json.loads((folder / "preprocessor_config.json").read_text())
    options.pop("image_processor_type")  # its torchvision-free twin does the same
    eyes = MllamaImageProcessorPil(**options)
    processor = MllamaProcessor(eyes, tokenizer, chat_template=tokenizer.chat_template)
    model = MllamaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    answers: list[str] = []
    for first in range(0, len(given), batch):
        some = given[first : first + batch]
        prompts = [
            tokenizer.apply_chat_template(
                conversation(exam.question.text), tokenize=False, add_generation_prompt=True
            )
            for exam in some
        ]
        inputs = processor(
            images=[[exam.image] for exam in some],
            text=prompts,
            add_special_tokens=False,  # the template has begun the text
            padding=True,
            return_tensors="pt",
        )
        with torch.inference_mode():
            ids = model.generate(**inputs, max_new_tokens=MAX_NEW_TOKENS, do_sample=False)
        answers += tokenizer.batch_decode(
            ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
        )
    return answers
