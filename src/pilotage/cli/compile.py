"""``pilotage compile``: a model as networks of fixed shapes for one target, checked."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from pilotage.cli.fetch import SOURCE_VARIABLE, from_environment
from pilotage.cli.fetch_progress import shown_progress
from pilotage.cli.flags import apply_overrides
from pilotage.engines.compiled.lengths import Lengths
from pilotage.engines.compiled.manifest import CompiledManifest, NetworkRecord
from pilotage.engines.encoders.architecture import read_config
from pilotage.engines.encoders.files import EncoderFiles, is_encoder
from pilotage.errors import UsageError
from pilotage.fetch import fetch
from pilotage.spec import Deployment, load
from pilotage.units import format_size, printable

if TYPE_CHECKING:
    from pilotage.engines.compiled.compilation import Order
    from pilotage.engines.compiled.target import Compiler

_SPEC_SUFFIXES: Final = (".yaml", ".yml")
_MULTIPLE: Final = 8


def compile_model(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[SPEC|SOURCE]",
            envvar=SOURCE_VARIABLE,
            help="A spec file (.yaml), or where the model comes from: hf://, pypi://, a path …",
        ),
    ] = None,
    *,
    deployment: Annotated[
        str | None, typer.Option(help="Which deployment, when the spec is a portfolio.")
    ] = None,
    target: Annotated[
        Literal["cpu", "neuron"] | None,
        typer.Option(
            help="What to compile for.", show_default="neuron if the spec says so, or cpu"
        ),
    ] = None,
    engine: Annotated[
        Literal["auto", "openvino", "onnxruntime"], typer.Option(help="On a CPU: who compiles.")
    ] = "auto",
    chip: Annotated[
        str, typer.Option(help="For neuron: the instance family, inf2, trn1, trn2 or inf1.")
    ] = "inf2",
    buckets: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,…",
            help="Lengths to compile for, in tokens; the last is the longest request.",
            show_default="chosen for the workload's lengths",
        ),
    ] = None,
    max_buckets: Annotated[
        int, typer.Option(min=1, max=64, help="Lengths to choose, at most.")
    ] = 6,
    lengths: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="How long requests are: a number of tokens a line, or JSON objects with "
            "prompt_tokens. The spec's workload if not given.",
        ),
    ] = None,
    batch: Annotated[
        str, typer.Option(metavar="N,N,…", help="Rows to compile each length for.")
    ] = "1,8",
    dtype: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"] | None,
        typer.Option(help="What to compute in.", show_default="fp32 on a CPU, bf16 on neuron"),
    ] = None,
    max_model_len: Annotated[
        int | None,
        typer.Option(min=1, help="The longest request, tokens.", show_default="the model's own"),
    ] = None,
    task: Annotated[
        Literal["auto", "embed", "question-answering", "classify"] | None,
        typer.Option(help="What the model does.", show_default="what its files say"),
    ] = None,
    min_cosine: Annotated[
        float | None,
        typer.Option(
            min=-1,
            max=1,
            help="How near to the uncompiled model's the answers must be.",
            show_default="0.9999 in fp32, 0.99 in bf16",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="The artifact's folder.", show_default="./NAME-TARGET"),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace an artifact that is there.")
    ] = False,
    unchecked: Annotated[
        bool,
        typer.Option("--unchecked", help="Compile where the result cannot be run and checked."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print progress and the manifest as JSON lines.")
    ] = False,
) -> None:
    """Compile an encoder for fixed shapes, check it against the original, and write an artifact.

    Serve the folder with `pilotage serve FOLDER`: each request runs in the shortest length that
    holds it. What was interrupted goes on where it was.
    """
    # Brings numpy, which the other verbs' start should not wait for.
    from pilotage.engines.compiled.compilation import Order, compile_artifact  # noqa: PLC0415

    spec = _deployment(source, deployment)
    model = spec.model
    chosen_target = target or ("neuron" if model.engine == "neuron" else "cpu")
    if chosen_target == "neuron":
        _require_sdk(chip)  # before gigabytes are fetched in vain
    with shown_progress(Console(stderr=True, highlight=False)) as show:
        fetched = fetch(model.source, sha256=model.sha256, revision=model.revision, progress=show)
    wanted_task = task or model.task
    with fetched.in_use():
        if not is_encoder(fetched.path, wanted_task):
            raise UsageError(
                "only encoders are compiled for fixed shapes: embeddings, question answering, "
                "classification",
                where=printable(model.source),
                hint="Serve it as it is; or say with --task what the encoder does",
            )
        files = EncoderFiles.of_folder(fetched.path, wanted_task)
        asked = _numbers(buckets, "--buckets") if buckets is not None else None
        longest = asked[-1] if asked else _longest(files, max_model_len or model.max_model_len)
        known = _lengths(spec, lengths, longest)
        chosen = asked or _buckets(max_buckets, known, files, longest)
        where = output or Path(f"{model.name}-{chosen_target}")
        order = Order(
            source=model.source,
            buckets=chosen,
            batches=_numbers(batch, "--batch"),
            output=where.absolute(),
            lengths=known,
            min_cosine=min_cosine,
            replace=replace,
            unchecked=unchecked,
        )
        wanted_dtype = dtype or model.dtype
        screen = _JsonScreen() if as_json else _Screen()
        screen.plan(order)
        compiler = _compiler(chosen_target, engine, files, wanted_dtype, chip)
        with screen.progress(len(order.buckets) * len(order.batches)):
            manifest = compile_artifact(
                order, files, compiler, beginning=screen.beginning, told=screen.told
            )
    screen.finished(manifest, where)


def _deployment(source: str | None, name: str | None) -> Deployment:
    if source is None:
        raise UsageError(
            "a source is missing",
            hint="Name a spec file or a model: pilotage compile hf://org/model",
        )
    if source.endswith(_SPEC_SUFFIXES):
        return from_environment(load(Path(source), deployment=name))
    return apply_overrides(Deployment(), {"model": {"source": source}})


def _longest(files: EncoderFiles, asked: int | None) -> int:
    if asked is not None and asked > files.longest:
        raise UsageError(
            f"the model reads at most {files.longest} tokens, not {asked}", where="--max-model-len"
        )
    return asked or files.advised


def _lengths(spec: Deployment, path: Path | None, longest: int) -> Lengths | None:
    if path is not None:
        return Lengths.of_file(path, longest)
    if spec.workload is None:
        return None
    tokens = spec.workload.prompt_tokens
    return Lengths.log_normal(tokens.p50, tokens.p99, longest)


def _buckets(
    most: int, lengths: Lengths | None, files: EncoderFiles, longest: int
) -> tuple[int, ...]:
    from pilotage.engines.compiled.buckets import (  # noqa: PLC0415  numpy
        WORTH_IT,
        attention_cost,
        choose_buckets,
        powers_of_two,
    )

    if lengths is None:
        return powers_of_two(longest)
    intermediate = read_config(files.folder).get("intermediate_size")
    attention = attention_cost(
        files.hidden, intermediate if type(intermediate) is int else 4 * files.hidden
    )
    return choose_buckets(
        lengths, longest, most, multiple=_MULTIPLE, attention=attention, worth=WORTH_IT
    )


def _numbers(text: str, where: str) -> tuple[int, ...]:
    try:
        numbers = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        numbers = ()
    if not numbers or not 1 <= numbers[0] <= numbers[-1] <= 1 << 20 or len(numbers) > 64:
        raise UsageError(
            f"{printable(text[:60])} is no list of numbers from 1",
            where=where,
            hint="Write them like 16,32,64,128",
        )
    return numbers


def _compiler(target: str, engine: str, files: EncoderFiles, dtype: str, chip: str) -> Compiler:
    threads = len(os.sched_getaffinity(0))
    if target == "neuron":
        from pilotage.engines.compiled.neuron_sdk import chip_of_family  # noqa: PLC0415
        from pilotage.engines.compiled.neuron_target import NeuronCompiler  # noqa: PLC0415

        return NeuronCompiler(files, dtype=dtype, chip=chip_of_family(chip), command=_command())
    if engine == "onnxruntime":
        from pilotage.engines.compiled.onnx_target import OnnxCompiler  # noqa: PLC0415  an extra

        return OnnxCompiler(files, dtype=dtype, threads=threads)
    from pilotage.engines.compiled.openvino_target import OpenVinoCompiler  # noqa: PLC0415  heavy

    return OpenVinoCompiler(files, dtype=dtype, threads=threads)


def _require_sdk(chip: str) -> None:
    from pilotage.engines.compiled.neuron_sdk import chip_of_family, open_sdk  # noqa: PLC0415

    open_sdk(chip_of_family(chip), on_device=False, command=_command())


def _command() -> str:
    return shlex.join(["pilotage", *sys.argv[1:]])


class _Screen:
    """What a person sees; all but the artifact's path goes to standard error."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._bar: Progress | None = None

    def plan(self, order: Order) -> None:
        """Which networks there will be, and what their padding costs."""
        from pilotage.engines.compiled.buckets import padding_share  # noqa: PLC0415  numpy

        shown = ", ".join(map(str, order.buckets))
        self._console.print(
            f"buckets {shown} tokens; rows {', '.join(map(str, order.batches))}",
            markup=False,
        )
        if order.lengths is not None:
            share = padding_share(order.lengths, order.buckets)
            alone = padding_share(order.lengths, order.buckets[-1:])
            self._console.print(
                f"padding: {share:.0%} of what is computed; {alone:.0%} with the one length "
                f"{order.buckets[-1]}"
            )

    @contextmanager
    def progress(self, networks: int) -> Iterator[None]:
        """A bar, where the terminal has one."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        hidden = not self._console.is_terminal
        with Progress(*columns, console=self._console, transient=True, disable=hidden) as bar:
            self._bar = bar
            bar.add_task("compiling", total=networks)
            yield

    def beginning(self, length: int, batch: int) -> None:
        """A network is begun."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], description=f"compiling {length} x {batch}")

    def told(self, network: NetworkRecord, known: bool) -> None:
        """A network is done."""
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0])
        if known:
            self._console.print(f"{network.name}: done by an earlier run", markup=False)

    def finished(self, manifest: CompiledManifest, where: Path) -> None:
        """The figures of every network, and where the artifact is."""
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for name in ("length", "rows", "compiled", "run", "operators", "cosine", "max error"):
            table.add_column(name, justify="right")
        for one in manifest.networks:
            parity = one.parity
            table.add_row(
                str(one.length),
                str(one.batch),
                f"{one.compile_s:.1f} s",
                f"{one.run_s * 1e3:.1f} ms" if one.run_s else "-",
                f"{one.operators.share:.0%} of {one.operators.total}",
                f"{parity.min_cosine:.6f}" if parity else "unchecked",
                f"{parity.max_abs_error:.1e}" if parity else "-",
            )
        self._console.print(table)
        left = sorted({kind for one in manifest.networks for kind in one.operators.left})
        if left:
            self._console.print(f"not taken by the compiler: {', '.join(left)}", markup=False)
        self._console.print(
            f"{manifest.compiler}, {manifest.dtype}, {manifest.device}; "
            f"{format_size(manifest.memory_bytes, digits=3)} once loaded",
            markup=False,
        )
        typer.echo(where)


class _JsonScreen(_Screen):
    """What a program sees: JSON lines on standard output."""

    def plan(self, order: Order) -> None:
        """Which networks there will be."""
        self._print(event="plan", buckets=order.buckets, batches=order.batches)

    @contextmanager
    def progress(self, networks: int) -> Iterator[None]:
        """Nothing: each network is an event."""
        yield

    def told(self, network: NetworkRecord, known: bool) -> None:
        """A network is done."""
        self._print(event="network", known=known, **msgspec.to_builtins(network))

    def finished(self, manifest: CompiledManifest, where: Path) -> None:
        """The whole manifest."""
        self._print(event="compiled", path=str(where.absolute()), **msgspec.to_builtins(manifest))

    @staticmethod
    def _print(**fields: object) -> None:
        sys.stdout.write(json.dumps(fields) + "\n")
        sys.stdout.flush()
