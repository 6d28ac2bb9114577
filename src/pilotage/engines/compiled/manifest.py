"""``compiled.json``: what a compiled artifact is, from what it was made, and how well it fits."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import Final, Literal

import msgspec

from pilotage.engines.config import EngineName
from pilotage.engines.engine import Task
from pilotage.errors import ModelError

MANIFEST: Final = "compiled.json"
SCHEMA: Final = "pilotage.compiled/1"

_MAX_BYTES: Final = 16 << 20

Target = Literal["cpu", "neuron"]


class Operators(msgspec.Struct, frozen=True, kw_only=True):
    """What the compiler did with the operators of a network.

    Attributes:
        total: Operators of the compiled graph.
        taken: Those that the compiler took: with a kernel of its own for the device. The others
            run in plain reference code (OpenVINO) or on the host's CPU (Neuron).
        kinds: How many of each kind.
        left: Kinds of those that it did not take, and how many.
    """

    total: int
    taken: int
    kinds: dict[str, int] = {}
    left: dict[str, int] = {}

    @property
    def share(self) -> float:
        """The part that was taken, 0 to 1."""
        return self.taken / self.total if self.total else 1.0


class Parity(msgspec.Struct, frozen=True, kw_only=True):
    """How near a network's answers are to those of the uncompiled model, on the same requests.

    Attributes:
        samples: Requests compared.
        max_abs_error: The largest difference of two numbers of an answer.
        min_cosine: The smallest cosine of two answers.
        reference: What it was compared with.
    """

    samples: int
    max_abs_error: float
    min_cosine: float
    reference: str


class NetworkRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One compiled network.

    Attributes:
        length: Tokens of a row.
        batch: Rows.
        compile_s: Seconds that the compiler took.
        run_s: Seconds of one full batch, the best of three right after; 0 where it was not run.
        operators: See `Operators`.
        parity: See `Parity`; None where there was no device to run it on.
        file: Its file in the artifact; None where the compiler runs when the artifact is loaded.
    """

    length: int
    batch: int
    compile_s: float
    run_s: float
    operators: Operators
    parity: Parity | None = None
    file: str | None = None

    @property
    def name(self) -> str:
        """For people and files: ``128x8``."""
        return f"{self.length}x{self.batch}"


class FileRecord(msgspec.Struct, frozen=True):
    """A file of the artifact: its size and digest."""

    bytes: int
    sha256: str


class CompiledManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is written into ``compiled.json``.

    Attributes:
        schema: The form of this file.
        pilotage: The version that wrote it.
        created: When, as ISO 8601 in UTC.
        source: Where the model came from.
        source_sha256: Digest of its files; see `digest_of_files`.
        task: What the model does.
        target: What it is for.
        engine: Who runs it.
        compiler: Compiler and version.
        flags: What the compiler was told.
        device: What it was compiled on or for: the CPU with its features, or the Neuron chip.
        dtype: What it computes in.
        buckets: Lengths, ascending.
        batches: Rows, ascending; each length is compiled for each.
        inputs: Names of the inputs, int64 ``[batch, length]`` each.
        padding: Expected share of computed tokens that is padding, where lengths are known.
        padding_unbucketed: The same with the last bucket only.
        memory_bytes: What all networks take once they are loaded, estimated.
        networks: See `NetworkRecord`.
        files: Every other file of the artifact.
    """

    schema: str = SCHEMA
    pilotage: str
    created: str
    source: str
    source_sha256: str
    task: Task
    target: Target
    engine: EngineName
    compiler: str
    flags: tuple[str, ...]
    device: str
    dtype: str
    buckets: tuple[int, ...]
    batches: tuple[int, ...]
    inputs: tuple[str, ...]
    padding: float | None = None
    padding_unbucketed: float | None = None
    memory_bytes: int = 0
    networks: tuple[NetworkRecord, ...]
    files: dict[str, FileRecord]

    @property
    def longest(self) -> int:
        """The longest request, tokens."""
        return self.buckets[-1]

    def encode(self) -> bytes:
        """The file's bytes."""
        return msgspec.json.format(msgspec.json.encode(self)) + b"\n"


def is_artifact(path: Path) -> bool:
    """Whether `path` is a folder that `pilotage compile` made."""
    return (path / MANIFEST).is_file()


def read_manifest(folder: Path) -> CompiledManifest:
    """The manifest of an artifact.

    Raises:
        ModelError: It is missing, damaged, or of another version of Pilotage.
    """
    path = folder / MANIFEST
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    try:
        schema = msgspec.json.decode(raw, type=dict[str, msgspec.Raw]).get("schema", msgspec.Raw())
        if bytes(schema) != msgspec.json.encode(SCHEMA):
            raise ModelError(
                f"written in another form: {bytes(schema)[:60]!r}, this version reads {SCHEMA}",
                where=str(path),
                hint="Compile the model again",
            )
        manifest = msgspec.json.decode(raw, type=CompiledManifest)
    except msgspec.MsgspecError as error:
        raise ModelError(f"damaged: {str(error)[:200]}", where=str(path)) from error
    problem = _problem(manifest)
    if problem:
        raise ModelError(f"damaged: {problem}", where=str(path), hint="Compile the model again")
    return manifest


def checked_bytes(folder: Path, manifest: CompiledManifest, name: str) -> bytes:
    """The content of a file of the artifact, when it is what the manifest says.

    What was hashed is what is returned, so that nobody can change the file in between.

    Raises:
        ModelError: It is missing or differs.
    """
    path = folder / name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror or error}", where=str(path)) from error
    if hashlib.sha256(content).hexdigest() != manifest.files[name].sha256:
        raise _differs(path)
    return content


def check_file(folder: Path, manifest: CompiledManifest, name: str) -> Path:
    """The path of a file of the artifact, when its digest is what the manifest says.

    Raises:
        ModelError: It is missing or differs.
    """
    path = folder / name
    if record_of(path) != manifest.files[name]:
        raise _differs(path)
    return path


def record_of(path: Path) -> FileRecord:
    """A file's size and digest.

    Raises:
        ModelError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return FileRecord(path.stat().st_size, digest)
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror or error}", where=str(path)) from error


def digest_of_files(folder: Path, names: list[str]) -> str:
    """One digest for several files: sha256 of ``<sha256>  <name>`` lines, as sha256sum prints."""
    lines = (f"{record_of(folder / name).sha256}  {name}\n" for name in sorted(names))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _differs(path: Path) -> ModelError:
    return ModelError(
        "is not the file that was compiled: its sha256 differs from the manifest's",
        where=str(path),
        hint="Copy the artifact again, or compile the model again",
    )


def _problem(manifest: CompiledManifest) -> str | None:
    for numbers in (manifest.buckets, manifest.batches):
        if not numbers or min(numbers) < 1 or list(numbers) != sorted(set(numbers)):
            return "buckets and batches should be ascending numbers from 1"
    wanted = {(length, batch) for length in manifest.buckets for batch in manifest.batches}
    if {(one.length, one.batch) for one in manifest.networks} != wanted:
        return "the networks are not those of its buckets and batches"
    files = {one.file for one in manifest.networks if one.file is not None}
    for name in (*manifest.files, *files):
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or name not in manifest.files:
            return f"the file {name[:80]!r}"
    return None
