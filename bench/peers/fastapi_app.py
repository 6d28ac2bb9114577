"""The FastAPI file that many teams write first; `fastapi_transformers` runs it as it stands.

Runs in ``.venv-bench``: ``python bench/peers/fastapi_app.py FOLDER DTYPE PORT THREADS``.
"""

# .venv-bench has torch and transformers; the environment that checks types has not.
# mypy: disable-error-code="import-not-found"

import sys
import threading

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import AutoModelForCausalLM, AutoTokenizer

FOLDER, DTYPE, PORT, THREADS = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])

torch.set_num_threads(THREADS)
app = FastAPI()
tokenizer = AutoTokenizer.from_pretrained(FOLDER)
model = AutoModelForCausalLM.from_pretrained(FOLDER, dtype=getattr(torch, DTYPE)).eval()
one_at_a_time = threading.Lock()


class Prompt(BaseModel):
    """What a client sends."""

    prompt: str
    max_new_tokens: int = 128
    min_new_tokens: int = 0


@app.get("/health")
def health() -> dict[str, str]:
    """Answer as soon as the model is loaded."""
    return {"status": "ok"}


@app.post("/generate")
def generate(request: Prompt) -> dict[str, object]:
    """Answer one prompt, whole."""
    inputs = tokenizer.apply_chat_template(
        [{"role": "user", "content": request.prompt}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    with one_at_a_time, torch.inference_mode():
        output = model.generate(
            **inputs,
            do_sample=False,
            max_new_tokens=request.max_new_tokens,
            min_new_tokens=request.min_new_tokens,
        )
    new = output[0, inputs["input_ids"].shape[1] :]
    text = tokenizer.decode(new, skip_special_tokens=True)
    return {"text": text, "usage": {"completion_tokens": len(new)}}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning")
