"""``pilotage serve``: a model behind an OpenAI-compatible API on this machine."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from pilotage.cli.fetch import SOURCE_VARIABLE, from_environment
from pilotage.cli.fetch_progress import shown_progress
from pilotage.cli.flags import Overrides, apply_overrides, with_spec_flags
from pilotage.cli.serve_plan import plan_overrides
from pilotage.devices import DeviceSlice
from pilotage.devices.numbers import format_ranges
from pilotage.fetch import FetchedModel, default_home, fetch
from pilotage.serve.launch import ServePlan, launch, plan_serving
from pilotage.serve.listener import open_listener
from pilotage.serve.models.planned import PlannedModel
from pilotage.serve.routing.checks import check_routing
from pilotage.serve.routing.served import means_default_model, served_specs
from pilotage.serve.supervisor import Event
from pilotage.serve.telemetry.logs import configure
from pilotage.spec import Deployment, ModelSpec, ServingSpec, SloSpec, load
from pilotage.units import format_size

_SPEC_SUFFIXES = (".yaml", ".yml")


@with_spec_flags(ServingSpec, ModelSpec, SloSpec, exclude={"source"})
def serve(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[SPEC|SOURCE]",
            envvar=SOURCE_VARIABLE,
            help="A spec file (.yaml), or where a model comes from: a path, pypi://… "
            "The embedded model if not given.",
        ),
    ] = None,
    *,
    deployment: Annotated[
        str | None, typer.Option(help="Which deployment, when the spec is a portfolio.")
    ] = None,
    plan_file: Annotated[
        Path | None,
        typer.Option(
            "--plan", help="A plan.json: its engine settings stand for the spec's; flags win."
        ),
    ] = None,
    plan_only: Annotated[
        bool, typer.Option("--plan-only", help="Show what would be served, and stop.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the first screen and events as JSON lines.")
    ] = False,
    overrides: Overrides,
) -> None:
    """Serve a model at an OpenAI-compatible address, until told to stop.

    Flags stand for the spec's own fields and win over them. Ctrl-C drains: what is in flight is
    finished first.
    """
    spec = _deployment(target, deployment)
    if plan_file is not None:
        spec = apply_overrides(spec, plan_overrides(plan_file))
    spec = apply_overrides(spec, overrides)
    configure(spec.serving.log_format, spec.serving.log_level)
    screen = _JsonScreen() if as_json else _Screen()
    home = default_home()
    check_routing(spec, os.environ)  # what is refused is refused before anything is fetched
    # Lazy models too: loading one should never wait for the network.
    fetched = [screen.fetch(model) for model in served_specs(spec)]
    plan = plan_serving(spec, [model.path for model in fetched])
    if plan_only:
        screen.show(plan, None)
        return
    with ExitStack() as held:
        for model in fetched:
            held.enter_context(model.in_use())
        listener = held.enter_context(open_listener(spec.serving.host, spec.serving.port))
        screen.show(plan, listener)
        with launch(plan, listener, home, screen.event) as supervisor:
            raise typer.Exit(supervisor.run())


def _deployment(target: str | None, name: str | None) -> Deployment:
    if target is None:
        return Deployment()
    if target.endswith(_SPEC_SUFFIXES):
        spec = load(Path(target), deployment=name)
        return from_environment(spec) if means_default_model(spec) else spec
    return apply_overrides(Deployment(), {"model": {"source": target}})


def _address(plan: ServePlan, listener: socket.socket | None) -> str:
    serving = plan.deployment.serving
    port = listener.getsockname()[1] if listener else serving.port
    host = f"[{serving.host}]" if ":" in serving.host else serving.host
    return f"http://{host}:{port}"


class _Screen:
    """What a person sees."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._began = time.monotonic()

    def fetch(self, model: ModelSpec) -> FetchedModel:
        """Have a model here, with a progress bar when that takes a download."""
        with shown_progress(self._console) as show:
            return fetch(model.source, sha256=model.sha256, revision=model.revision, progress=show)

    def show(self, plan: ServePlan, listener: socket.socket | None) -> None:
        """The first screen: models, slices, memory, address, and something to paste."""
        address = _address(plan, listener)
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold")
        table.add_column()
        for model in plan.models:
            shape = model.files.shape
            table.add_row(
                "model" if model is plan.models[0] else "",
                f"{model.name}  ({model.files.engine}; {shape.architecture}, "
                + (f"{shape.parameters / 1e6:,.0f}M parameters, " if shape.parameters else "")
                + f"{format_size(shape.weight_bytes, digits=3)})"
                + _whereabouts(plan, model),
            )
        if plan.slices:
            table.add_row("workers", "; ".join(f"{s.worker} on {_place(s)}" for s in plan.slices))
        for model in plan.models:
            self._show_memory(table, plan, model)
        for name, tier in _tiers(plan).items():
            table.add_row("tiers" if name == next(iter(_tiers(plan))) else "", f"{name}  ({tier})")
        table.add_row("address", f"{address}/v1  (docs at {address}/docs)")
        table.add_row("keys", "required" if plan.has_keys else "none: loopback only")
        self._console.print(Panel(table, title="Pilotage", title_align="left", expand=False))
        key = ' -H "Authorization: Bearer $PILOTAGE_API_KEY"' if plan.has_keys else ""
        path, body = _example(plan)
        self._console.print(
            f"curl {address}{path} -H 'Content-Type: application/json'{key} "
            f"-d '{json.dumps(body)}'\n",
            soft_wrap=True,
            markup=False,
        )

    @staticmethod
    def _show_memory(table: Table, plan: ServePlan, model: PlannedModel) -> None:
        of = f" for {model.name}" if len(plan.models) > 1 else ""
        if model.memory is None:
            if not model.external:
                table.add_row("memory", f"{format_size(model.memory_bytes, digits=3)}{of}")
            return
        memory = model.memory
        table.add_row(
            "memory",
            f"{format_size(plan.free_bytes, digits=3)} free; each worker: "
            f"{format_size(memory.weight_bytes, digits=3)} weights + "
            f"{format_size(memory.kv_bytes, digits=3)} KV cache{of}",
        )
        table.add_row(
            "room for",
            f"{memory.max_num_seqs} sequences at once, {memory.kv_tokens:,} tokens in the cache, "
            f"{memory.max_model_len:,} in a sequence (each worker)",
        )

    def event(self, event: Event, message: str) -> None:
        """Something happened."""
        style = "red" if event is Event.CUT_OFF else None
        if event is Event.READY:
            message = f"ready after {time.monotonic() - self._began:.1f} s; Ctrl-C stops"
        self._console.print(message, markup=False, style=style)


class _JsonScreen:
    """What a program sees: JSON lines on standard output."""

    def fetch(self, model: ModelSpec) -> FetchedModel:
        """Have a model here."""
        return fetch(model.source, sha256=model.sha256, revision=model.revision)

    def show(self, plan: ServePlan, listener: socket.socket | None) -> None:
        """The same facts as the first screen; those of the first model stand alone, too."""
        first = plan.models[0] if plan.models else None
        self._print(
            event="plan",
            model=None if first is None else first.name,
            engine=None if first is None else first.files.engine,
            path=None if first is None else str(first.files.path),
            address=_address(plan, listener),
            keys_required=plan.has_keys,
            workers=[
                {
                    "worker": piece.worker,
                    "cores": list(piece.cores),
                    "device": piece.name,
                    "devices": list(piece.devices),
                    "memory_budget_bytes": budget,
                }
                for piece, budget in zip(plan.slices, plan.budgets, strict=True)
            ],
            free_bytes=plan.free_bytes,
            **({} if first is None else _memory_facts(first)),
            tiers=list(plan.prices),
            models=[
                {
                    "model": model.name,
                    "engine": model.files.engine,
                    "task": model.files.task,
                    "path": str(model.files.path),
                    "load": model.load,
                    "workers": list(model.workers),
                    "copies": model.copies,
                    "memory_bytes": model.memory_bytes,
                    **_memory_facts(model),
                }
                for model in plan.models
            ],
        )

    def event(self, event: Event, message: str) -> None:
        """Something happened."""
        self._print(event=event.name.lower(), message=message)

    @staticmethod
    def _print(**fields: object) -> None:
        sys.stdout.write(json.dumps(fields) + "\n")
        sys.stdout.flush()


def _memory_facts(model: PlannedModel) -> dict[str, int | None]:
    memory = model.memory
    return {
        "weight_bytes": model.files.shape.weight_bytes,
        "kv_cache_bytes": memory.kv_bytes if memory else None,
        "kv_cache_tokens": memory.kv_tokens if memory else None,
        "max_num_seqs": memory.max_num_seqs if memory else None,
        "max_model_len": model.max_model_len,
    }


def _whereabouts(plan: ServePlan, model: PlannedModel) -> str:
    """What is not as usual about where and when a model is loaded."""
    parts = []
    if len(model.workers) < len(plan.slices) and not model.external:
        parts.append(f"on worker {', '.join(map(str, model.workers))}")
    if model.copies > 1 and not model.external:
        parts.append(f"{model.copies} copies in each worker")
    if model.load == "lazy":
        parts.append("loaded at its first request")
    return "".join(f", {part}" for part in parts)


def _place(piece: DeviceSlice) -> str:
    """Such as "CPU 0-3" or "cuda:0 with CPU 0-3"."""
    cores = f"CPU {format_ranges(piece.cores)}"
    return f"{piece.name} with {cores}" if piece.devices else cores


def _tiers(plan: ServePlan) -> dict[str, str]:
    """The tiers, and for each who answers."""
    routing = plan.deployment.routing
    return {
        tier.name: ", ".join(
            backend.kind if backend.model is None else f"{backend.kind}: {backend.model}"
            for backend in tier.backends
        )
        for tier in (() if routing is None else routing.tiers)
    }


def _example(plan: ServePlan) -> tuple[str, dict[str, object]]:
    """A request to paste: its path and body."""
    routing = plan.deployment.routing
    if routing is not None:
        message = {"role": "user", "content": "What is the capital of France?"}
        return "/v1/chat/completions", {"model": routing.model, "messages": [message]}
    model = plan.models[0]
    if model.files.task == "generate":
        message = {"role": "user", "content": "What is the capital of France?"}
        return "/v1/chat/completions", {"model": model.name, "messages": [message]}
    if model.files.task == "embed":
        text = "The capital of France is Paris."
        return "/v1/embeddings", {"model": model.name, "input": text}
    if model.files.task == "question-answering":
        asked = {"question": "What is the capital of France?", "context": "Paris is the capital."}
        return "/v1/predict", {"model": model.name, "inputs": asked}
    return "/v1/predict", {"model": model.name, "inputs": "I like it."}
