"""Responses as the OpenAI API writes them, for the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

FinishReason = Literal["stop", "length"]


class ErrorDetail(BaseModel):
    """What was wrong and what to do."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """Every error this server answers with."""

    error: ErrorDetail


class Usage(BaseModel):
    """Token counts; the prompt counts once however many choices were asked for."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class TopLogprob(BaseModel):
    """A token that could have come here."""

    token: str
    logprob: float
    bytes: list[int] | None


class TokenLogprob(TopLogprob):
    """A token and the natural logarithm of its probability."""

    top_logprobs: list[TopLogprob]


class ChatLogprobs(BaseModel):
    """The tokens of a message."""

    content: list[TokenLogprob] | None


class AssistantMessage(BaseModel):
    """The model's answer."""

    role: Literal["assistant"]
    content: str


class ChatChoice(BaseModel):
    """One of the answers."""

    index: int
    message: AssistantMessage
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason


class ChatCompletion(BaseModel):
    """The answer to a conversation."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: Usage


class RoutedCompletion(BaseModel):
    """The answer to a routed conversation: a provider may say more than this server would."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[dict[str, Any]]
    usage: dict[str, Any] | None = None


class Inference(BaseModel):
    """The answer to a form."""

    id: str
    model: str
    text: str
    finish_reason: FinishReason
    usage: Usage


class CompletionLogprobs(BaseModel):
    """The tokens of a text, side by side."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]] | None
    text_offset: list[int]


class CompletionChoice(BaseModel):
    """One of the continuations."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: FinishReason


class Completion(BaseModel):
    """Continuations of the prompts."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: Usage


class PromptUsage(BaseModel):
    """Token counts where nothing is generated."""

    prompt_tokens: int
    total_tokens: int


class Embedding(BaseModel):
    """The vector of one input."""

    object: Literal["embedding"]
    index: int
    embedding: Annotated[
        list[float] | str, Field(description="Numbers, or base64 of little-endian float32.")
    ]


class EmbeddingList(BaseModel):
    """The vectors of all inputs, in their order."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: PromptUsage


class Answer(BaseModel):
    """A part of the context that answers the question; empty for "no answer"."""

    answer: str
    score: float
    start: Annotated[int, Field(description="Its first character in the context.")]
    end: Annotated[int, Field(description="The character after its last.")]


class AnswerPrediction(Answer):
    """The best answer to a question, and further ones."""

    object: Literal["prediction"]
    model: str
    task: Literal["question-answering"]
    answers: list[Answer]
    usage: PromptUsage


class LabelScore(BaseModel):
    """A label and its probability."""

    label: str
    score: float


class LabelledInput(BaseModel):
    """The labels of one input, the best first."""

    index: int
    labels: list[LabelScore]


class LabelPrediction(BaseModel):
    """The labels of all inputs."""

    object: Literal["prediction"]
    model: str
    task: Literal["classify"]
    data: list[LabelledInput]
    usage: PromptUsage


class ModelCard(BaseModel):
    """A served model, or an alias for one or several."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    root: Annotated[str, Field(description="The model; of an alias the one with most requests.")]
    max_model_len: int | None


class ModelList(BaseModel):
    """The served models."""

    object: Literal["list"]
    data: list[ModelCard]


class Tokens(BaseModel):
    """A prompt as the model reads it."""

    count: int
    max_model_len: int | None
    tokens: list[int]
    token_strs: list[str] | None


class DetokenizedText(BaseModel):
    """Tokens as text."""

    prompt: str


class HealthBody(BaseModel):
    """How the server is."""

    status: Annotated[str, Field(description="loading, ready, stalled or draining")]
    reason: str
    details: dict[str, Any]
