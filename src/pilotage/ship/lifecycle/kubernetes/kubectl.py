"""``kubectl`` as it is installed: what is asked, and its failures in one line."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from pilotage.errors import TargetError, UsageError
from pilotage.units import printable

MANAGER: Final = "pilotage"
"""Who owns the fields that are applied."""

_ANSWER: Final = "--request-timeout=30s"
"""A cluster that does not answer would be waited for without an end."""
_CHATTER: Final = re.compile(r"^[EWIF]\d{4} ")
"""A line of the client's own log: the error itself comes after it, in plain words."""
_END_S: Final = 5.0


class NoClusterError(TargetError):
    """The cluster that kubectl is set to does not answer."""


@dataclass(frozen=True, slots=True)
class Kubectl:
    """The command, for one namespace.

    Attributes:
        command: Its name or path.
        namespace: Where the deployment is.
    """

    command: str
    namespace: str

    def run(self, *arguments: str, given: Mapping[str, Any] | None = None) -> str:
        """What it prints.

        Args:
            *arguments: Its verb first.
            given: An object for its standard input.

        Raises:
            UsageError: It is not installed.
            NoClusterError: No cluster answers it.
            TargetError: It fails; with what it said.
        """
        done = self._done(arguments, given)
        if done.returncode != 0:
            raise _failure(arguments[0], done.stderr)
        return done.stdout

    def may(self, *arguments: str) -> str | None:
        """What it prints; None where it fails, as where this user may not look."""
        done = self._done(arguments, None)
        return done.stdout if done.returncode == 0 else None

    def get(self, *what: str) -> list[dict[str, Any]]:
        """Those of some objects that are there, with who manages which of their fields."""
        text = self.run(
            "get", *what, *self._here, "--ignore-not-found", "--show-managed-fields", "-o", "json",
            _ANSWER,
        )  # fmt: skip
        return _listed(text)

    def labelled(self, kinds: str, label: str) -> list[dict[str, Any]]:
        """Objects of some kinds ("deployments,services") that have a label ("name=value")."""
        text = self.run(
            "get", kinds, *self._here, "-l", label, "--ignore-not-found", "--show-managed-fields",
            "-o", "json", _ANSWER,
        )  # fmt: skip
        return _listed(text)

    def apply(self, *wanted: Mapping[str, Any], dry: bool = False) -> list[dict[str, Any]]:
        """Server-side apply; conflicts with other managers are errors, never forced.

        Args:
            *wanted: The objects.
            dry: Only say what they would be: the server's own word, nothing is changed.

        Returns:
            What the server makes of them, in their order.
        """
        how = ("--dry-run=server",) if dry else ()
        given = {"apiVersion": "v1", "kind": "List", "items": list(wanted)}
        text = self.run(
            "apply", "--server-side", *how, f"--field-manager={MANAGER}", "-o", "json", "-f", "-",
            _ANSWER, given=given,
        )  # fmt: skip
        return _listed(text)

    def delete(self, what: str, *, limit_s: float) -> None:
        """Delete an object and what hangs on it, and wait until both are gone."""
        self.run(
            "delete", what, *self._here, "--ignore-not-found", "--wait=true",
            "--cascade=foreground", f"--timeout={max(1, int(limit_s))}s",
        )  # fmt: skip

    def kinds(self) -> dict[str, str]:
        """Kinds that the cluster knows in a namespace, and their names: "deployments.apps"."""
        text = self.run("api-resources", "--verbs=delete", "--namespaced", "--no-headers", _ANSWER)
        found: dict[str, str] = {}
        for line in text.splitlines():
            words = line.split()
            if len(words) >= 4:  # NAME [SHORTNAMES] APIVERSION NAMESPACED KIND
                group, slash, _ = words[-3].partition("/")
                name = f"{words[0]}.{group}" if slash else words[0]
                found.setdefault(words[-1], name)
        return found

    def context(self) -> str | None:
        """What kubectl calls the cluster it is set to; None where it names none."""
        found = (self.may("config", "current-context") or "").strip()
        return printable(found)[:120] or None

    def lines(self, *arguments: str) -> Iterator[str]:
        """What it prints, line by line while it runs; it is ended with the iteration.

        Raises:
            TargetError: It fails.
        """
        command = [self._program(), *arguments]
        with (
            tempfile.TemporaryFile("w+", errors="replace") as said,  # a pipe nobody reads fills
            subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said,
                text=True, errors="replace",
            ) as child,
        ):  # fmt: skip
            assert child.stdout is not None
            try:
                yield from (line.rstrip("\n") for line in child.stdout)
                if child.wait() != 0:
                    said.seek(0)
                    raise _failure(arguments[0], said.read())
            finally:
                _end(child)

    @property
    def _here(self) -> tuple[str, str]:
        return ("-n", self.namespace)

    def _program(self) -> str:
        found = shutil.which(self.command)
        if found is None:
            raise UsageError(
                "kubectl is not installed",
                hint="Install it, or apply what render wrote where it is: kubectl apply -k FOLDER",
            )
        return found

    def _done(
        self, arguments: tuple[str, ...], given: Mapping[str, Any] | None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._program(), *arguments],
            input="" if given is None else json.dumps(given),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )


def _listed(text: str) -> list[dict[str, Any]]:
    """One object is printed as it is, several as a list, none as nothing."""
    found: dict[str, Any] = json.loads(text) if text.strip() else {"items": []}
    items: list[dict[str, Any]] = found.get("items", [found])
    return items


def _failure(verb: str, stderr: str) -> TargetError:
    lines = [one for one in stderr.splitlines() if one.strip() and not _CHATTER.match(one)]
    said = printable(" ".join(" ".join(lines).split()))[:600].rstrip(".?") or "without a word"
    lost = ("connection to the server", "no configuration", "Unable to connect", "does not exist",
            "was refused", "no such host", "i/o timeout", "deadline exceeded")  # fmt: skip
    if any(one in said for one in lost) and "progress deadline" not in said:
        return NoClusterError(
            f"kubectl {verb} failed: {said}",
            hint="See kubectl config current-context and kubectl cluster-info: is it this cluster, "
            "and does it answer?",
        )
    return TargetError(
        f"kubectl {verb} failed: {said}",
        hint="Nothing is lost, and the same command goes on from what the cluster has",
    )


def _end(child: subprocess.Popen[str]) -> None:
    """Gently, then not: a followed log has no end of its own."""
    if child.poll() is not None:
        return
    child.terminate()
    with suppress(subprocess.TimeoutExpired):
        child.wait(_END_S)
    if child.poll() is None:
        child.kill()
        child.wait()
