"""The operator's side of the admin API: models and aliases of a running server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from pilotage.cli.chat_client import base_url, is_this_machine
from pilotage.cli.chat_errors import said
from pilotage.errors import PilotageError, UsageError
from pilotage.serve.control import AliasTarget, ModelStatus

AnswerT = TypeVar("AnswerT")
KEY_VARIABLE: Final = "PILOTAGE_API_KEY"
_MAX_KEY_FILE_BYTES: Final = 4096
_QUICK = httpx.Timeout(30.0, connect=5.0)
_PATIENT = httpx.Timeout(None, connect=5.0)  # a model takes as long as it takes to load


class AdminError(PilotageError):
    """The server could not be reached, or did not do what it was asked."""


class Alias(msgspec.Struct, frozen=True):
    """An alias and what it stands for."""

    name: str
    targets: tuple[AliasTarget, ...]

    def share(self, target: AliasTarget) -> float:
        """The part of the alias's requests that go to one of its targets."""
        return target.weight / sum(each.weight for each in self.targets)


class _Models(msgspec.Struct, frozen=True):
    data: tuple[ModelStatus, ...]


class _Aliases(msgspec.Struct, frozen=True):
    data: tuple[Alias, ...]


class ModelsClient:
    """A client of one server's admin API.

    Args:
        url: The server, with or without ``/v1`` at its end.
        key_file: A file that holds the API key; the environment variable ``PILOTAGE_API_KEY``
            if None.

    Raises:
        UsageError: The address or the key cannot be used.
    """

    def __init__(self, url: str, *, key_file: Path | None) -> None:
        self.base = base_url(url)
        self._key_name = KEY_VARIABLE if key_file is None else str(key_file)
        key = os.environ.get(KEY_VARIABLE, "").strip() if key_file is None else _read_key(key_file)
        if not (key.isascii() and (key.isprintable() or not key)):
            raise UsageError("the API key holds characters that no key has", where=self._key_name)
        self._has_key = bool(key)
        self._http = httpx.Client(
            headers={"authorization": f"Bearer {key}"} if key else {},
            # A proxy from the environment is not asked for this very machine.
            trust_env=not is_this_machine(self.base),
        )

    def __enter__(self) -> ModelsClient:
        """The client itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self._http.close()

    def models(self) -> tuple[ModelStatus, ...]:
        """Every model, loaded or not."""
        return self._call("GET", "models", _Models).data

    def aliases(self) -> tuple[Alias, ...]:
        """Every alias and what it stands for."""
        return self._call("GET", "aliases", _Aliases).data

    def load(self, model: str) -> ModelStatus:
        """Load a model; returns when it is ready.

        Raises:
            UsageError: The server has no such model.
            AdminError: It could not load it.
        """
        path = f"models/{_quoted(model)}/load"
        return self._call("POST", path, ModelStatus, timeout=_PATIENT)

    def unload(self, model: str) -> ModelStatus:
        """Unload a model; returns when its requests have finished and its memory is free.

        Raises:
            UsageError: The server has no such model.
        """
        path = f"models/{_quoted(model)}/unload"
        return self._call("POST", path, ModelStatus, timeout=_PATIENT)

    def set_alias(self, name: str, targets: list[AliasTarget]) -> Alias:
        """Make or move an alias.

        Raises:
            UsageError: A target is no model, a weight is no positive number, or the name is one
                that no alias can have.
        """
        body = {"targets": msgspec.to_builtins(targets)}
        return self._call("PUT", f"aliases/{_quoted(name)}", Alias, body=body)

    def remove_alias(self, name: str) -> None:
        """Take an alias away.

        Raises:
            UsageError: There is none of that name.
        """
        self._call("DELETE", f"aliases/{_quoted(name)}", dict[str, Any])

    def _call(
        self,
        method: str,
        path: str,
        answer_type: type[AnswerT],
        *,
        body: Any = None,
        timeout: httpx.Timeout = _QUICK,
    ) -> AnswerT:
        url = f"{self.base}/v1/admin/{path}"
        try:
            response = self._http.request(method, url, json=body, timeout=timeout)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise AdminError(
                "no server answers there",
                where=self.base,
                hint="Start one with `pilotage serve`, or give another's address with --url.",
            ) from None
        except httpx.TimeoutException:
            raise AdminError("the server took too long to answer", where=self.base) from None
        except (httpx.TransportError, httpx.DecodingError):
            raise AdminError("the connection broke before an answer", where=self.base) from None
        try:
            if response.status_code == 200:
                return msgspec.json.decode(response.content, type=answer_type)
            answer = msgspec.json.decode(response.content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise self._no_admin_api() from None
        raise self._refusal(response.status_code, answer)

    def _refusal(self, status: int, answer: Any) -> PilotageError:
        error = answer.get("error") if isinstance(answer, dict) else None
        code = error.get("code") if isinstance(error, dict) else None
        if status == 401:
            return self._unauthorized()
        if status == 403:
            return AdminError(
                f"the API key in {self._key_name} may not steer models"
                if code == "insufficient_scope"
                else f"the server forbids it ({said(answer)})",
                where=self.base,
                hint="`pilotage keys add --name NAME --scope admin` makes one that may.",
            )
        if code in {"model_not_found", "alias_not_found", "invalid_value"}:
            return UsageError(said(answer), where=self.base)
        if code in {None, "unknown_url", "method_not_allowed"}:
            return self._no_admin_api()
        return AdminError(f"the server refused ({status}: {said(answer)})", where=self.base)

    def _unauthorized(self) -> AdminError:
        if self._has_key:
            return AdminError(
                f"the server refused the API key in {self._key_name}",
                where=self.base,
                hint="Is it revoked, or for another server?",
            )
        return AdminError(
            "the server wants an API key of the scope admin",
            where=self.base,
            hint=f"Put yours into the environment variable {KEY_VARIABLE}, or name its file with "
            "--api-key-file.",
        )

    def _no_admin_api(self) -> AdminError:
        return AdminError(
            "what answers there has no admin API",
            where=self.base,
            hint="Is this the address of a Pilotage server?",
        )


def _quoted(name: str) -> str:
    if not name or name in {".", ".."}:
        raise UsageError(f"{name!r} is no name")
    return quote(name, safe="", errors="replace")


def _read_key(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(_MAX_KEY_FILE_BYTES + 1)
    except OSError as error:
        reason = error.strerror or "unreadable"
        raise UsageError(f"cannot be read ({reason})", where=str(file)) from None
    try:
        key = content.decode("ascii").strip()
    except UnicodeDecodeError:
        key = ""
    if not key or len(content) > _MAX_KEY_FILE_BYTES:
        raise UsageError("this file does not hold an API key", where=str(file))
    return key
