"""Which files of a repository a model needs: a safe default, and patterns.

Left to itself, `Selection` takes what an engine opens without running anything:

- **One weight format**, the first of these that the repository has: safetensors, GGUF,
  OpenVINO IR (``X.xml`` with its ``X.bin``), ONNX (with its external data). Of safetensors,
  ``consolidated*`` copies and variants (``model.fp16.safetensors``) are left out where the plain
  ones are there; of ONNX, quantised variants where the plain one is there. Several quantisations
  side by side are refused with a list, because nobody wants them all.
- **Small companions**: tokenizer, configuration, chat templates, licence, model card.

Never taken unless a pattern names them: pickles and other files that can run code when opened
(CVE-2025-32434: also with ``weights_only=True``), and Python and other programs.

A pattern is a glob as huggingface_hub's are (``*`` also matches ``/``) or the path of a file or
folder. It *names* a file when it is the file's path or ends in the file's own suffix
(``*.gguf``, ``pytorch_model*.bin``); such files are taken as they are. A wider pattern
(``*``, ``onnx/``, ``*Q4_K_M*``) narrows what the default chooses from.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Final

from pilotage.errors import SourceError, UsageError
from pilotage.fetch.file_kinds import Kind, has_weights, kinds_of
from pilotage.fetch.weights import default_choice, quoted

_MAX_PATTERN: Final = 512

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Choice:
    """What of a repository is taken.

    Attributes:
        paths: At least one, in the order of the listing.
        unsafe: Those of `paths` that can run code when they are opened: all were named.
        refused: Unsafe files that are left out.
    """

    paths: tuple[str, ...]
    unsafe: tuple[str, ...]
    refused: tuple[str, ...]

    def tell(self, *, where: str) -> None:
        """Log what can run code: as a warning what is taken, in passing what is left out."""
        if self.unsafe:
            _log.warning(
                "%s: taken because a pattern names them, and able to run code when they are "
                "opened: %s",
                where,
                ", ".join(self.unsafe[:10]),
            )
        if self.refused:
            listed = ", ".join(self.refused[:10])
            _log.info("%s: left out, as they can run code: %s", where, listed)


@dataclass(frozen=True, slots=True)
class Selection:
    """Patterns of files to take and to leave.

    Attributes:
        include: Empty stands for everything.
        exclude: Wins over `include`.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    @staticmethod
    def of(include: Iterable[str] = (), exclude: Iterable[str] = ()) -> Selection:
        """Patterns from outside, each once and in order.

        Raises:
            UsageError: One is empty, too long, or holds control characters.
        """
        return Selection(_checked(include), _checked(exclude))

    def narrowed(self, paths: Iterable[str]) -> tuple[str, ...]:
        """The paths that the patterns do not rule out, safe or not, in their order."""
        return tuple(
            path
            for path in paths
            if not any(_matches(p, path) for p in self.exclude)
            and (not self.include or any(_matches(p, path) for p in self.include))
        )

    def names(self, path: str) -> bool:
        """Whether an include pattern ends in this file's very name: needed for remote code."""
        name = PurePosixPath(path).name
        return any(_matches(p, path) and p.rpartition("/")[2] == name for p in self.include)

    def asks_for(self, path: str) -> bool:
        """Whether an include pattern names this file or its suffix: needed for what is unsafe."""
        return any(_names(p, path) for p in self.include)

    def choose(self, paths: Sequence[str], *, where: str) -> Choice:
        """The files to take out of a listing.

        Args:
            paths: Every file of the repository.
            where: The source, for messages.

        Raises:
            SourceError: No file matches, only unsafe files do, there are no weights, or several
                quantisations of which one must be chosen.
        """
        within = self.narrowed(paths)
        if not within:
            raise self._nothing(paths, where)
        kinds = kinds_of(paths)
        named = {path for path in within if self.asks_for(path)}
        rest = [path for path in within if path not in named]
        chosen = named | default_choice(
            rest, kinds, where=where, weights_named=has_weights(named, kinds)
        )
        refused = tuple(path for path in rest if kinds[path] is Kind.UNSAFE)
        weights = has_weights(chosen, kinds) or any(kinds[p] is Kind.UNSAFE for p in named)
        if not chosen or (not self.include and not weights):
            raise _no_weights(refused, where)
        return Choice(
            tuple(path for path in within if path in chosen),
            tuple(path for path in within if path in named and kinds[path] is Kind.UNSAFE),
            refused,
        )

    def choose_listed(self, paths: Sequence[str], *, where: str) -> Choice:
        """The files of a list that somebody made by hand: all that the patterns leave.

        Args:
            paths: Every file of the list.
            where: The source, for messages.

        Raises:
            SourceError: No file matches, or there are unsafe files that no pattern names.
        """
        within = self.narrowed(paths)
        if not within:
            raise self._nothing(paths, where)
        kinds = kinds_of(paths)
        unsafe = tuple(path for path in within if kinds[path] is Kind.UNSAFE)
        unnamed = [path for path in unsafe if not self.asks_for(path)]
        if unnamed:
            raise _refused(unnamed, where)
        return Choice(within, unsafe, ())

    def _nothing(self, paths: Sequence[str], where: str) -> SourceError:
        near = [m for p in self.include for m in get_close_matches(p, paths, n=2, cutoff=0.5)]
        listed = ", ".join(dict.fromkeys([*near, *paths][:5]))
        patterns = " or ".join(repr(p) for p in self.include[:3])
        said = f"no file matches {patterns}" if patterns else "every file is excluded"
        if not paths:
            return SourceError("the revision holds no files", where=where)
        return SourceError(said, where=where, hint=f"There is {listed}")


def _checked(patterns: Iterable[str]) -> tuple[str, ...]:
    checked: list[str] = []
    for pattern in patterns:
        bare = pattern.removeprefix("./")
        if not bare or len(bare) > _MAX_PATTERN or not bare.isprintable():
            raise UsageError(
                "a pattern of files is empty, too long or holds control characters",
                where=repr(pattern[:80]),
                hint="Patterns are globs, such as '*.safetensors' or 'onnx/*'",
            )
        checked.append(bare)
    return tuple(dict.fromkeys(checked))


def _matches(pattern: str, path: str) -> bool:
    if pattern.endswith("/"):
        return path.startswith(pattern) or fnmatchcase(path, pattern + "*")
    return path == pattern or path.startswith(f"{pattern}/") or fnmatchcase(path, pattern)


def _names(pattern: str, path: str) -> bool:
    """Whether the pattern asks for this very file or for its suffix, not merely for any file."""
    if pattern == path:
        return True
    suffix = PurePosixPath(path).suffix
    return bool(suffix) and pattern.endswith(suffix) and fnmatchcase(path, pattern)


def _no_weights(refused: Sequence[str], where: str) -> SourceError:
    if not refused:
        return SourceError(
            "there are no weights: no safetensors, GGUF, OpenVINO IR or ONNX file",
            where=where,
            hint="Name the files that you want with --include",
        )
    return _refused(refused, where)


def _refused(refused: Sequence[str], where: str) -> SourceError:
    listed = ", ".join(refused[:5]) + (", …" if len(refused) > 5 else "")
    return SourceError(
        f"what is there can run code when it is opened, and is refused by default: {listed}",
        where=where,
        hint="Choose a model with safetensors, or, if you trust its authors, name the files: "
        f"--include '*' --include {quoted(refused[0])}",
    )
