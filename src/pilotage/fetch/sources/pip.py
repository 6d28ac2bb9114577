"""Downloading a wheel with this machine's own pip: its index, proxies and certificates.

pip is run as a program, so that every way a machine can be set up for it (files, environment,
keyring, proxies) holds here too. What it prints is read for progress and for the reason of a
failure, and is never shown as it is: it holds addresses, and those may hold credentials.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Final

from pilotage.errors import IntegrityError, PilotageError, SourceError
from pilotage.fetch.disk import require_room
from pilotage.fetch.progress import Phase, Progress, ProgressListener

_POLL: Final = 0.1
_GRACE: Final = 5.0
_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_HOST = re.compile(r"(host=)'[^']*'")
_RESPONSE = re.compile(r'HTTP/[\d.]+" (\d{3}) (\d+)')
_VERSIONS = re.compile(r"\(from versions: (.*?)\)")
_REFUSED = re.compile(r"\b(401|403|407) (?:Client )?Error|HTTP error (401|403|407)")
_FAILED = re.compile(
    r"\b(429|5\d\d) (?:Client |Server )?Error|HTTP error (429|5\d\d)"
    r"|too many (429|5\d\d) error responses"
)


def download_wheel(
    requirement: str, scratch: Path, progress: ProgressListener, *, where: str
) -> Path:
    """Download the one wheel that `requirement` names, without its dependencies.

    Args:
        requirement: ``package==version``, already checked to be just that.
        scratch: A private folder; pip's temporary files stay in it too.
        progress: Told about downloaded bytes.
        where: The source, for messages.

    Raises:
        SourceError: pip is missing, or could not get the wheel; the message says why.
        ResourceError: The wheel does not fit on the disk.
        OSError: The disk became full.
    """
    downloads, temporary = scratch / "wheel", scratch / "pip"
    downloads.mkdir()
    temporary.mkdir()
    command = [
        *_pip(where), "download", "-vv", "--no-deps", "--only-binary=:all:", "--no-cache-dir",
        "--progress-bar=off", "--no-color", "--no-input", "--disable-pip-version-check",
        f"--dest={downloads}", requirement,
    ]  # fmt: skip
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"}
    transcript = Transcript(requirement, where)
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:
        _follow(process, transcript, scratch, progress)
    if process.returncode != 0:
        raise transcript.failure()
    wheels = list(downloads.glob("*.whl"))
    if len(wheels) != 1:
        raise SourceError(f"pip left {len(wheels)} wheels where one was asked for", where=where)
    return wheels[0]


def _pip(where: str) -> list[str]:
    # -P keeps a file named pip.py in the working folder from being run instead of pip.
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-P", "-m", "pip"]
    for name in ("pip3", "pip"):
        if found := shutil.which(name):
            return [found]
    raise SourceError(
        "pip is needed to fetch from a package index, and this machine has none",
        where=where,
        hint=f"Run {sys.executable} -m ensurepip, or `uv pip install pip`",
    )


def _follow(
    process: subprocess.Popen[str],
    transcript: Transcript,
    scratch: Path,
    progress: ProgressListener,
) -> None:
    """Report progress until pip ends; a thread reads what it prints so that it never blocks."""
    assert process.stdout is not None
    reader = threading.Thread(target=transcript.read, args=(process.stdout,), daemon=True)
    reader.start()
    checked = False
    try:
        while reader.is_alive():
            reader.join(_POLL)
            if (name := transcript.wheel) is None:
                continue
            if transcript.size is not None and not checked:
                # pip downloads to its temporary folder and copies from there.
                require_room(scratch, 2 * transcript.size, written=_largest(scratch))
                checked = True
            progress(Progress(Phase.DOWNLOAD, name, _largest(scratch), transcript.size))
        process.wait()
    finally:
        if process.poll() is None:
            process.kill()
        reader.join(_GRACE)


def _largest(folder: Path) -> int:
    """The size of the largest file below `folder`: the wheel, however far it has come."""
    largest = 0
    for base, _, names in os.walk(folder):
        for name in names:
            try:
                largest = max(largest, Path(base, name).stat().st_size)
            except OSError:
                continue
    return largest


class Transcript:
    """What pip said: the facts in it, and the one line that explains a failure.

    Attributes:
        wheel: The wheel's file name once its download began.
        size: The wheel's bytes, if the index said so.
    """

    def __init__(self, requirement: str, where: str) -> None:
        self.wheel: str | None = None
        self.size: int | None = None
        self._requirement = requirement
        self._where = where
        self._response: int | None = None
        self._versions: str | None = None
        self._error = ""
        self._signs: set[str] = set()

    def read(self, lines: IO[str]) -> None:
        """Read pip's output to its end."""
        for line in lines:
            self.feed(line.rstrip())

    def feed(self, line: str) -> None:
        """Take in one line."""
        if match := _RESPONSE.search(line):
            self._response = int(match[2]) if match[1] == "200" else None
        elif match := re.match(r"\s*Downloading (\S+\.whl)", line):
            self.wheel, self.size = Path(match[1]).name, self._response
        elif match := _VERSIONS.search(line):
            self._versions = match[1]
        elif line.startswith("ERROR:"):
            self._error = line.removeprefix("ERROR:").strip()
        for sign, pattern in _SIGNS.items():
            if pattern.search(line):
                self._signs.add(sign)

    def failure(self) -> PilotageError | OSError:
        """Why pip failed, without addresses: those may hold credentials."""
        package, _, version = self._requirement.partition("==")
        if "full" in self._signs:
            return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if "hash" in self._signs:
            return IntegrityError(
                f"the wheel of {self._requirement} has not the hash that the index promises",
                where=self._where,
                hint="Nothing was kept; fetch again",
            )
        if self._versions not in {None, "", "none"}:
            known = str(self._versions).split(", ")
            listed = ", ".join([*(["…"] if len(known) > 8 else []), *known[-8:]])
            return self._error_with(
                f"package {package} has no version {version} for this machine",
                f"There is {listed}",
            )
        for sign, (message, hint) in _REASONS.items():
            if sign in self._signs:
                return self._error_with(message, hint)
        if self._versions == "none":
            return self._error_with(
                f"the package index has no wheel of {package} for this machine",
                "Check the name, and that pip's index is the one that has it",
            )
        detail = _HOST.sub(r"\1'***'", _URL.sub("***", self._error))[:200]
        return self._error_with(f"pip could not download {self._requirement}: {detail}", None)

    def _error_with(self, message: str, hint: str | None) -> SourceError:
        return SourceError(message.rstrip(". :"), where=self._where, hint=hint)


_SIGNS: Final = {
    "full": re.compile(r"\[Errno 28\]|No space left on device|Disk quota exceeded"),
    "hash": re.compile(r"DO NOT MATCH THE HASHES|HashMismatch"),
    "certificate": re.compile(r"CERTIFICATE_VERIFY_FAILED|SSLError|SSLCertVerificationError"),
    "refused": _REFUSED,
    "failed": _FAILED,
    "network": re.compile(
        r"connection error|Retrying \(|ConnectionError|ConnectTimeout|ReadTimeout|ProxyError"
        r"|Connection reset|IncompleteRead|ProtocolError"
    ),
}
_REASONS: Final = {
    "certificate": (
        "the package index's certificate is not trusted by this machine's pip",
        "Set pip's `cert` to your organisation's certificate file",
    ),
    "refused": (
        "the package index refused this machine's pip (not authorised)",
        "Check the credentials in pip's configuration",
    ),
    "failed": (
        "the package index answers with errors or asks to come back later",
        "Try again in a few minutes",
    ),
    "network": (
        "the package index cannot be reached",
        "Check the network and pip's proxy settings, or give the path of a model that you have",
    ),
}
