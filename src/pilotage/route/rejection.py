"""A request that no tier is asked about: it is wrong itself, and saying so is free."""

from __future__ import annotations


class Rejection(Exception):
    """A request that the router does not take; nothing was generated and nothing is billed.

    Args:
        message: What is wrong with it, one sentence; holds nothing of the prompt.
        status: The HTTP status that says the same.
        code: OpenAI's word for it, for programs.
        param: The field of the request that is wrong.
    """

    def __init__(self, message: str, *, status: int, code: str, param: str) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.param = param


def history_too_long(messages: int, most: int) -> Rejection:
    """The conversation has more messages than ``max_history``."""
    return Rejection(
        f"the conversation has {messages} messages; at most {most} are taken",
        status=400,
        code="history_too_long",
        param="messages",
    )


def unknown_model(model: str, known: tuple[str, ...]) -> Rejection:
    """The model asked for is neither the routed one nor a tier."""
    return Rejection(
        f"there is no model {model[:64]!r}; there are {', '.join(known)}",
        status=404,
        code="model_not_found",
        param="model",
    )
