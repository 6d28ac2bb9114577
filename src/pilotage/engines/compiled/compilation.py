"""From a model's folder to a compiled artifact: networks built, checked and published."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Final

from pilotage import __version__
from pilotage.engines.compiled.artifact import Draft, check_output, drafting
from pilotage.engines.compiled.buckets import padding_share
from pilotage.engines.compiled.lengths import Lengths
from pilotage.engines.compiled.manifest import (
    MANIFEST,
    CompiledManifest,
    NetworkRecord,
    digest_of_files,
    read_manifest,
)
from pilotage.engines.compiled.parity import MIN_COSINE, compare, require_parity, samples_for
from pilotage.engines.compiled.static_runner import Network, StaticRunner
from pilotage.engines.compiled.target import Compiler
from pilotage.engines.encoders.files import EncoderFiles
from pilotage.engines.encoders.runner import Runner, padded
from pilotage.errors import ModelError, ResourceError, StoreError, UsageError

_BESIDE: Final = (".json", ".txt", ".model", ".jinja")
"""Endings of what goes into an artifact beside the networks: config, tokenizer, pooling."""

_LARGEST_BESIDE: Final = 256 << 20
_WEIGHTS: Final = (".safetensors", ".onnx", ".onnx_data", ".xml", ".bin")

Told = Callable[[NetworkRecord, bool], None]
"""Called after each network; True where an earlier run had done it."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be compiled.

    Attributes:
        source: Where the model came from, for the manifest.
        buckets: Lengths, ascending.
        batches: Rows, ascending.
        output: The artifact's folder.
        lengths: How long requests are, where that is known.
        min_cosine: The least parity; that of the number format if not given.
        replace: Whether an artifact that is there may go.
        unchecked: Whether networks that cannot be run here are taken without a check.
    """

    source: str
    buckets: tuple[int, ...]
    batches: tuple[int, ...]
    output: Path
    lengths: Lengths | None = None
    min_cosine: float | None = None
    replace: bool = False
    unchecked: bool = False


def compile_artifact(
    order: Order,
    files: EncoderFiles,
    compiler: Compiler,
    *,
    beginning: Callable[[int, int], None] = lambda _length, _batch: None,
    told: Told = lambda _network, _known: None,
) -> CompiledManifest:
    """Compile every network, check each against the uncompiled model, and publish them together.

    Nothing is at the output before all is well. What an interrupted run has done is not done
    again.

    Args:
        order: What is wanted.
        files: The model.
        compiler: For the target.
        beginning: Called before each network with its length and batch.
        told: Called after each network.

    Returns:
        The manifest, as it was written.

    Raises:
        UsageError: Something is at the output already; buckets the model cannot have.
        ModelError: A network cannot be compiled, or does not answer as the model does.
        StoreError: The output cannot be written.
        ResourceError: Memory ran out.
    """
    if order.buckets[-1] > files.longest:
        raise UsageError(
            f"the model reads at most {files.longest} tokens, not {order.buckets[-1]}",
            where="--buckets",
        )
    check_output(order.output, replace=order.replace)
    source_sha256 = digest_of_files(files.folder, _source_files(files.folder))
    key = _key(order, compiler, source_sha256)
    with drafting(order.output, key) as draft:
        try:
            _copy_beside(files.folder, draft.folder)
            compiler.prepare(draft.folder)
            records = _Work(order, files, compiler, draft, beginning, told).all()
            shapes = [(one.length, one.batch) for one in records]
            manifest = CompiledManifest(
                pilotage=__version__,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                source=order.source,
                source_sha256=source_sha256,
                task=files.task,
                target=compiler.target,
                engine=compiler.engine,
                compiler=compiler.name,
                flags=compiler.flags,
                device=compiler.device,
                dtype=compiler.dtype,
                buckets=order.buckets,
                batches=order.batches,
                inputs=compiler.inputs,
                padding=_padding(order, order.buckets),
                padding_unbucketed=_padding(order, order.buckets[-1:]),
                memory_bytes=compiler.memory_bytes(draft.folder, shapes),
                networks=tuple(records),
                files=draft.files(),
            )
        except ModelError:
            draft.discard()
            raise
        except MemoryError as error:
            raise ResourceError(
                "memory ran out while it was compiled", where=str(files.folder)
            ) from error
        except OSError as error:
            raise StoreError(
                f"cannot be written: {error.strerror or error}", where=str(order.output)
            ) from error
        draft.publish(manifest, replace=order.replace)
    return read_manifest(order.output)


@dataclass(frozen=True, slots=True)
class _Work:
    """The networks of an order, one after the other."""

    order: Order
    files: EncoderFiles
    compiler: Compiler
    draft: Draft
    beginning: Callable[[int, int], None]
    told: Told

    def all(self) -> list[NetworkRecord]:
        """Every network, of this run or an earlier one."""
        order, records = self.order, []
        reference: tuple[Runner, str] | None = None
        for shorter, length in pairwise((0, *order.buckets)):
            for batch in order.batches:
                self.beginning(length, batch)
                known = self.draft.finished(f"{length}x{batch}")
                if known is None or (known.parity is None and not order.unchecked):
                    reference = reference or self.compiler.reference()
                    record = self._one(shorter, length, batch, reference)
                    self.draft.finish(record)
                else:
                    record = known
                records.append(record)
                self.told(record, record is known)
        return records

    def _one(
        self, shorter: int, length: int, batch: int, reference: tuple[Runner, str]
    ) -> NetworkRecord:
        order, files, compiler = self.order, self.files, self.compiler
        began = time.perf_counter()
        built = compiler.build(length, batch, self.draft.folder)
        took = time.perf_counter() - began
        parity, run_s = None, 0.0
        if built.network is not None:
            one = StaticRunner({(length, batch): built.network}, pad_id=files.pad_id, name="")
            samples = samples_for(files, length, batch, shorter=shorter)
            parity = compare(samples, one, reference[0], reference[1])
            least = order.min_cosine
            if least is None:
                least = MIN_COSINE[compiler.dtype]
            require_parity(parity, least, network=f"{length}x{batch}")
            run_s = _timed(built.network, length, batch, files.pad_id)
        elif not order.unchecked:
            raise UsageError(
                "there is no device here to check the compiled network on",
                where=compiler.device,
                hint="Compile where it will run; or write --unchecked, and check it there",
            )
        return NetworkRecord(
            length=length,
            batch=batch,
            compile_s=took,
            run_s=run_s,
            operators=built.operators,
            parity=parity,
            file=built.file,
        )


def _padding(order: Order, buckets: tuple[int, ...]) -> float | None:
    return padding_share(order.lengths, buckets) if order.lengths is not None else None


def _timed(network: Network, length: int, batch: int, pad_id: int) -> float:
    rows = [[pad_id + 1] * length] * batch
    full = padded(rows, [b""] * batch, pad_id=pad_id)
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        network.infer(full)
        best = min(best, time.perf_counter() - began)
    return best


def _key(order: Order, compiler: Compiler, source_sha256: str) -> str:
    """What decides an artifact's content, as a digest: drafts of other orders are not mixed in."""
    parts = (
        source_sha256,
        order.source,
        compiler.target,
        compiler.name,
        compiler.device,
        compiler.dtype,
        *compiler.flags,
        repr(order.buckets),
        repr(order.batches),
        repr(order.min_cosine),
        __version__,
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _source_files(folder: Path) -> list[str]:
    """What a model is: its weights, and what goes with them."""
    return [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.suffix in (*_BESIDE, *_WEIGHTS)
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


def _copy_beside(folder: Path, into: Path) -> None:
    for name in _source_files(folder):
        path = folder / name
        if path.suffix not in _BESIDE or name == MANIFEST or name.endswith(".index.json"):
            continue
        if path.stat().st_size <= _LARGEST_BESIDE:
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, into / name)
