"""API keys: who may call the server, kept as a file of salted hashes.

A key reads ``plt_<id>_<secret>``: the id (8 characters) names its record in the file, the secret
(43 characters of base 62, 256 bits) is known to its holder only. The file is written by
``pilotage keys`` and read by running servers, which notice a change within a second.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import re
import secrets
import string
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from pilotage.errors import StoreError, UsageError
from pilotage.fetch import default_home
from pilotage.serve import key_file
from pilotage.serve.key_file import Signature

_LOG = logging.getLogger(__name__)

MAX_PRESENTED_CHARS = 512
REFRESH_INTERVAL_S = 1.0

_ID_ALPHABET = string.ascii_lowercase + string.digits
_SECRET_ALPHABET = string.ascii_letters + string.digits
_ID_CHARS = 8
_SECRET_CHARS = 43  # 43 * log2(62) = 256.03 bits
_KEY = re.compile(rf"plt_([a-z0-9]{{{_ID_CHARS}}})_([A-Za-z0-9]{{{_SECRET_CHARS}}})")
_SALT_BYTES = 16
_HASH_BYTES = 32

_Instant = Annotated[datetime, msgspec.Meta(tz=True)]
_MOST_USD = Decimal(1_000_000)
_PerMinute = Annotated[int, msgspec.Meta(ge=1, le=10**12)]


class Scope(StrEnum):
    """What a key may do."""

    INFERENCE = "inference"
    ADMIN = "admin"


# What is not limited is not in the file: one without dollars can be read by older versions too.
class KeyLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What one key may spend; ``None`` is no limit.

    Attributes:
        requests_per_minute: Requests a minute.
        tokens_per_minute: Prompt and completion tokens a minute.
        usd_per_day: US dollars a UTC day for what is routed, more than 0 and at most 1,000,000;
            text in the file, so that it stays exact.
        usd_per_month: US dollars a calendar month (UTC), likewise.
    """

    requests_per_minute: _PerMinute | None = None
    tokens_per_minute: _PerMinute | None = None
    usd_per_day: Decimal | None = None
    usd_per_month: Decimal | None = None

    def __post_init__(self) -> None:
        for amount in (self.usd_per_day, self.usd_per_month):
            if amount is not None and not (amount.is_finite() and 0 < amount <= _MOST_USD):
                raise ValueError(f"a limit in US dollars is from above 0 to {_MOST_USD}")


class ApiKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key as it may be shown: everything but its salt and hash. Times are UTC."""

    id: Annotated[str, msgspec.Meta(pattern=f"^[a-z0-9]{{{_ID_CHARS}}}$")]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    created: _Instant
    scopes: tuple[Scope, ...] = (Scope.INFERENCE,)
    limits: KeyLimits = KeyLimits()
    revoked: _Instant | None = None


class _Record(ApiKey, frozen=True, kw_only=True, forbid_unknown_fields=True):
    salt: Annotated[bytes, msgspec.Meta(min_length=_SALT_BYTES, max_length=_SALT_BYTES)]
    hash: Annotated[bytes, msgspec.Meta(min_length=_HASH_BYTES, max_length=_HASH_BYTES)]

    def shown(self) -> ApiKey:
        return ApiKey(**{name: getattr(self, name) for name in ApiKey.__struct_fields__})


class _KeyFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: Literal[1] = 1
    keys: tuple[_Record, ...] = ()


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key just made; ``text`` is what its holder presents, and exists nowhere else."""

    key: ApiKey
    text: str = field(repr=False)


def default_key_file() -> Path:
    """Where keys are kept unless another file is named: ``keys.json`` in Pilotage's home."""
    return default_home() / "keys.json"


def presented_key(headers: Mapping[str, str]) -> str | None:
    """The key that a request carries in ``Authorization: Bearer`` or ``X-API-Key``, or ``None``.

    Args:
        headers: The request's headers, looked up by lower-case name. A bearer token wins over
            ``X-API-Key``; another ``Authorization`` scheme is left alone. A value of more than
            512 characters is no key.
    """
    scheme, _, token = headers.get("authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    presented = bearer or headers.get("x-api-key", "").strip()
    return presented if 0 < len(presented) <= MAX_PRESENTED_CHARS else None


class KeyStore:
    """The keys in one file.

    A missing or empty file is a store without keys, and a server without keys is open. Once a key
    has existed the server stays closed: a revoked key keeps its record, and a running server
    whose file vanishes or breaks goes on with the keys it last read.

    Args:
        path: The key file; need not exist.
        clock: Seconds that only grow; for tests.

    Raises:
        StoreError: The file cannot be read, is corrupt, or can be written by other users.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self._clock = clock
        self._signature, self._records = _read(path)
        self._closed = bool(self._records)
        self._checked_at = clock()
        self._reported: str | None = None

    @property
    def any_keys(self) -> bool:
        """Whether a key is needed: true once any key has existed, revoked ones included."""
        self.refresh()
        return self._closed

    def authenticate(self, presented: str | None) -> ApiKey | None:
        """The key that was presented, or ``None`` if it is malformed, unknown, wrong or revoked.

        Takes the same time whichever of these it is.
        """
        self.refresh()
        match = _KEY.fullmatch(presented) if presented is not None else None
        key_id, secret = match.groups() if match else ("", "0" * _SECRET_CHARS)
        record = self._records.get(key_id)
        # An unknown id is hashed and compared too, so that time does not tell which ids exist.
        salt, expected = (
            (record.salt, record.hash) if record else (bytes(_SALT_BYTES), bytes(_HASH_BYTES))
        )
        if not hmac.compare_digest(_hash(secret, salt), expected):
            return None
        return record.shown() if record and record.revoked is None else None

    def refresh(self) -> None:
        """Take up changes of the file; looks at it once a second at most.

        A file that has vanished or broken since changes nothing and is logged once.
        """
        now = self._clock()
        if now - self._checked_at < REFRESH_INTERVAL_S:
            return
        self._checked_at = now
        try:
            if key_file.signature_of(self.path) == self._signature:
                self._reported = None
                return
            signature, records = _read(self.path)
            if self._closed and (signature is None or signature[1] == 0):
                raise StoreError("the key file has gone or is empty", where=str(self.path))  # noqa: TRY301
        except StoreError as problem:
            if str(problem) != self._reported:
                self._reported = str(problem)
                _LOG.error("%s; going on with the keys read before", problem)
            return
        self._take(signature, records)

    def all(self) -> list[ApiKey]:
        """All keys, revoked ones included, oldest first."""
        return [record.shown() for record in self._records.values()]

    def add(
        self,
        name: str,
        *,
        scopes: tuple[Scope, ...] = (Scope.INFERENCE,),
        limits: KeyLimits | None = None,
    ) -> IssuedKey:
        """Make a key and write it to the file.

        Args:
            name: What people call it, 1 to 64 printable characters; need not be unique.
            scopes: What it may do.
            limits: What it may spend; ``None`` is no limit.

        Raises:
            UsageError: The name cannot be used.
            StoreError: The file cannot be read or written.
        """
        name = name.strip()
        if not (1 <= len(name) <= 64 and name.isprintable()):
            raise UsageError("a key's name has 1 to 64 printable characters", where="name")
        salt = secrets.token_bytes(_SALT_BYTES)
        secret = _random_text(_SECRET_ALPHABET, _SECRET_CHARS)
        with self._changing() as records:
            key_id = _random_text(_ID_ALPHABET, _ID_CHARS)
            while key_id in records:
                key_id = _random_text(_ID_ALPHABET, _ID_CHARS)
            record = records[key_id] = _Record(
                id=key_id,
                name=name,
                created=_now(),
                scopes=tuple(dict.fromkeys(scopes)),
                limits=limits or KeyLimits(),
                salt=salt,
                hash=_hash(secret, salt),
            )
        return IssuedKey(record.shown(), f"plt_{key_id}_{secret}")

    def revoke(self, id_or_name: str) -> ApiKey:
        """Revoke the key with this id, or else the one unrevoked key with this name.

        Raises:
            UsageError: There is no such key, it is revoked already, or several have this name.
            StoreError: The file cannot be read or written.
        """
        with self._changing() as records:
            record = _find(list(records.values()), id_or_name, where=str(self.path))
            record = records[record.id] = msgspec.structs.replace(record, revoked=_now())
        return record.shown()

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, _Record]]:
        # Read again under the lock: another process may have written since.
        with key_file.locked(self.path):
            _, records = _read(self.path)
            yield records
            _write(self.path, records)
            self._take(*_read(self.path))

    def _take(self, signature: Signature | None, records: dict[str, _Record]) -> None:
        self._signature, self._records = signature, records
        self._closed = self._closed or bool(records)
        self._reported = None


def _hash(secret: str, salt: bytes) -> bytes:
    # A slow hash (scrypt, argon2) buys time against guessing a password. These secrets are 256
    # random bits, which nobody guesses at any speed, so one BLAKE2b is as safe and costs a
    # request about a microsecond.
    return hashlib.blake2b(secret.encode(), salt=salt, digest_size=_HASH_BYTES).digest()


def _random_text(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _find(records: list[_Record], id_or_name: str, *, where: str) -> _Record:
    found = [record for record in records if record.id == id_or_name] or [
        record for record in records if record.name == id_or_name
    ]
    usable = [record for record in found if record.revoked is None]
    if len(usable) == 1:
        return usable[0]
    if usable:
        raise UsageError(
            f"{len(usable)} keys are named {id_or_name!r}",
            where=where,
            hint=f"Name one by its id: {', '.join(record.id for record in usable)}.",
        )
    if found:
        raise UsageError(f"the key {id_or_name!r} is revoked already", where=where)
    raise UsageError(
        f"there is no key with the id or name {id_or_name!r}",
        where=where,
        hint="`pilotage keys list` shows them all.",
    )


def _read(path: Path) -> tuple[Signature | None, dict[str, _Record]]:
    signature, content = key_file.read(path)
    try:
        keys = msgspec.json.decode(content, type=_KeyFile).keys if content.strip() else ()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise key_file.unusable(path, str(error)) from None
    records = {record.id: record for record in keys}
    if len(records) < len(keys):
        raise key_file.unusable(path, "two keys in it have the same id")
    return signature, records


def _write(path: Path, records: dict[str, _Record]) -> None:
    content = msgspec.json.encode(_KeyFile(keys=tuple(records.values())))
    key_file.write(path, msgspec.json.format(content, indent=2) + b"\n")
