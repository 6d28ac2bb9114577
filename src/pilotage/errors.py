"""Every error a user of Pilotage can meet.

::

    PilotageError                 something went wrong; exit code 1
    ├── UsageError                the command or its arguments are wrong; exit code 2
    │   └── SpecError             a spec file (or a flag that stands for a spec field) is wrong
    ├── SourceError               a model could not be had from its source
    │   └── IntegrityError        the bytes that arrived are not the bytes that were named
    ├── StoreError                the cache folder cannot be read or written
    ├── ModelError                a model's files cannot be used
    │   └── UnsupportedModelError this engine cannot read them; another could
    ├── ResourceError             not enough memory, disk, cores, or a port that is taken
    ├── ServeError                the running server failed (a crash loop, a failed drain)
    └── TargetError               an endpoint cannot be tested: dead, locked, not what it should be

An error says what was wrong, where, and what to do. The three parts are data: programs read
``error.as_dict()``, people read ``str(error)``.
"""

from __future__ import annotations

from typing import Any, ClassVar


class PilotageError(Exception):
    """Base of all errors that a user can meet.

    Args:
        message: What went wrong, one sentence without a final full stop.
        where: The file, field, address or device concerned, if there is one.
        hint: What to do about it, one sentence.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        head = f"{self.where}: {self.message}" if self.where else self.message
        return f"{head}. {self.hint}" if self.hint else head

    def as_dict(self) -> dict[str, Any]:
        """The error as JSON-ready data: ``type``, ``message``, ``where``, ``hint``."""
        return {
            "type": type(self).__name__,
            "message": self.message,
            "where": self.where,
            "hint": self.hint,
        }

    @staticmethod
    def from_dict(data: dict[str, Any]) -> PilotageError:
        """Rebuild an error that crossed a process boundary; an unknown type becomes the base."""
        kind = _BY_NAME.get(str(data.get("type")), PilotageError)
        return kind(str(data.get("message")), where=data.get("where"), hint=data.get("hint"))


class UsageError(PilotageError):
    """The command line or a request to the library is wrong."""

    exit_code = 2


class SpecError(UsageError):
    """A deployment spec is wrong; ``where`` is ``file:line``."""


class SourceError(PilotageError):
    """A model could not be had from its source."""


class IntegrityError(SourceError):
    """The bytes that arrived are not the bytes that were named."""


class StoreError(PilotageError):
    """The cache folder cannot be read or written."""


class ModelError(PilotageError):
    """A model's files cannot be used: corrupt, truncated, or of the wrong kind."""


class UnsupportedModelError(ModelError):
    """The chosen engine cannot read this model; ``hint`` names the engines that could."""


class ResourceError(PilotageError):
    """The machine lacks something: memory, disk, cores, a free port."""


class ServeError(PilotageError):
    """The running server failed and could not mend itself."""


class TargetError(PilotageError):
    """An endpoint cannot be tested: unreachable, locked, or not an OpenAI-compatible one."""


_BY_NAME: dict[str, type[PilotageError]] = {
    kind.__name__: kind
    for kind in (
        PilotageError,
        UsageError,
        SpecError,
        SourceError,
        IntegrityError,
        StoreError,
        ModelError,
        UnsupportedModelError,
        ResourceError,
        ServeError,
        TargetError,
    )
}
