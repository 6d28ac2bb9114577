"""``pilotage serve``: a model behind an OpenAI-compatible API on this machine."""

from __future__ import annotations

import json
import socket
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from pilotage.cli.fetch import SOURCE_VARIABLE, from_environment
from pilotage.cli.fetch_progress import shown_progress
from pilotage.cli.flags import Overrides, apply_overrides, with_spec_flags
from pilotage.fetch import FetchedModel, default_home, fetch
from pilotage.serve.launch import ServePlan, launch, open_listener, plan_serving
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
    spec = apply_overrides(_deployment(target, deployment), overrides)
    configure(spec.serving.log_format, spec.serving.log_level)
    screen = _JsonScreen() if as_json else _Screen()
    home = default_home()
    fetched = screen.fetch(spec)
    plan = plan_serving(spec, fetched.path)
    if plan_only:
        screen.show(plan, None)
        return
    with fetched.in_use(), open_listener(spec.serving.host, spec.serving.port) as listener:
        screen.show(plan, listener)
        with launch(plan, listener, home, screen.event) as supervisor:
            raise typer.Exit(supervisor.run())


def _deployment(target: str | None, name: str | None) -> Deployment:
    if target is None:
        return Deployment()
    if target.endswith(_SPEC_SUFFIXES):
        return from_environment(load(Path(target), deployment=name))
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

    def fetch(self, spec: Deployment) -> FetchedModel:
        """Have the model here, with a progress bar when that takes a download."""
        with shown_progress(self._console) as show:
            return fetch(
                spec.model.source,
                sha256=spec.model.sha256,
                revision=spec.model.revision,
                progress=show,
            )

    def show(self, plan: ServePlan, listener: socket.socket | None) -> None:
        """The first screen: model, slices, memory, address, and something to paste."""
        memory, shape = plan.memory, plan.model.shape
        address = _address(plan, listener)
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold")
        table.add_column()
        table.add_row(
            "model",
            f"{plan.deployment.model_name}  ({plan.model.engine}; {shape.architecture}, "
            + (f"{shape.parameters / 1e6:,.0f}M parameters, " if shape.parameters else "")
            + f"{format_size(shape.weight_bytes, digits=3)})",
        )
        table.add_row(
            "workers",
            "; ".join(f"{piece.worker} on CPU {_cores(piece.cores)}" for piece in plan.slices),
        )
        table.add_row(
            "memory",
            f"{format_size(memory.free_bytes, digits=3)} free; each worker: "
            f"{format_size(memory.weight_bytes, digits=3)} weights + "
            f"{format_size(memory.kv_bytes, digits=3)} KV cache",
        )
        table.add_row(
            "room for",
            f"{memory.max_num_seqs} sequences at once, {memory.kv_tokens:,} tokens in the cache, "
            f"{memory.max_model_len:,} in a sequence (each worker)",
        )
        table.add_row("address", f"{address}/v1  (docs at {address}/docs)")
        table.add_row("keys", "required" if plan.has_keys else "none: loopback only")
        self._console.print(Panel(table, title="Pilotage", title_align="left", expand=False))
        key = ' -H "Authorization: Bearer $PILOTAGE_API_KEY"' if plan.has_keys else ""
        body = {
            "model": plan.deployment.model_name,
            "messages": [{"role": "user", "content": "What is the capital of France?"}],
        }
        self._console.print(
            f"curl {address}/v1/chat/completions -H 'Content-Type: application/json'{key} "
            f"-d '{json.dumps(body)}'\n",
            soft_wrap=True,
            markup=False,
        )

    def event(self, event: Event, message: str) -> None:
        """Something happened."""
        style = "red" if event is Event.CUT_OFF else None
        if event is Event.READY:
            message = f"ready after {time.monotonic() - self._began:.1f} s; Ctrl-C stops"
        self._console.print(message, markup=False, style=style)


class _JsonScreen:
    """What a program sees: JSON lines on standard output."""

    def fetch(self, spec: Deployment) -> FetchedModel:
        """Have the model here."""
        return fetch(spec.model.source, sha256=spec.model.sha256, revision=spec.model.revision)

    def show(self, plan: ServePlan, listener: socket.socket | None) -> None:
        """The same facts as the first screen."""
        memory = plan.memory
        self._print(
            event="plan",
            model=plan.deployment.model_name,
            engine=plan.model.engine,
            path=str(plan.model.path),
            address=_address(plan, listener),
            keys_required=plan.has_keys,
            workers=[{"worker": s.worker, "cores": list(s.cores)} for s in plan.slices],
            free_bytes=memory.free_bytes,
            weight_bytes=memory.weight_bytes,
            kv_cache_bytes=memory.kv_bytes,
            kv_cache_tokens=memory.kv_tokens,
            max_num_seqs=memory.max_num_seqs,
            max_model_len=memory.max_model_len,
        )

    def event(self, event: Event, message: str) -> None:
        """Something happened."""
        self._print(event=event.name.lower(), message=message)

    @staticmethod
    def _print(**fields: object) -> None:
        sys.stdout.write(json.dumps(fields) + "\n")
        sys.stdout.flush()


def _cores(cores: tuple[int, ...]) -> str:
    if len(cores) > 2 and cores == tuple(range(cores[0], cores[-1] + 1)):
        return f"{cores[0]}-{cores[-1]}"
    return ",".join(map(str, cores))
