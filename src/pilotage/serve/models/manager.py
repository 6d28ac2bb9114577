"""The models of a running server: loaded when they are wanted, unloaded when room is short.

Everything here runs on the gateway's event loop. What is *wanted* is a set of pairs of model and
worker: what was preloaded, what a request or an operator asked for, less what was unloaded. When
a worker comes up, what it holds is made to agree with that. On each worker, one thing is done
after the other: making room, loading, unloading.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Final

from pilotage.errors import ModelError, PilotageError, ResourceError, UsageError
from pilotage.serve.api.context import ServedModel
from pilotage.serve.config import PlacedEngine
from pilotage.serve.control import AliasTarget, ModelStatus
from pilotage.serve.generation import GenerationFailed, Unavailable
from pilotage.serve.models.aliases import AliasTable
from pilotage.serve.models.fleet import Fleet
from pilotage.serve.models.managed import ExternalModel, ManagedModel
from pilotage.serve.models.memory_budget import choose_victims
from pilotage.serve.models.saved_state import SavedState, StateFile
from pilotage.serve.models.status import model_status
from pilotage.serve.worker_link import WorkerLink, WorkerLost
from pilotage.units import format_size

_TRIES: Final = 2
"""Workers that a model may kill while it loads, before it is given up."""

_POLL_S: Final = 0.02
_LONGEST_IDLE_CHECK_S: Final = 5.0
_TRY_AGAIN_S: Final = 30.0
"""A model that could not be loaded is not tried again for every request."""

_ROOM_RETRY_S: Final = 5.0
_log = logging.getLogger("pilotage.gateway")


class ModelManager:
    """Implements the protocols `ModelControl` and `ModelDirectory`.

    Args:
        models: The models that workers hold, in the order of the spec.
        fleet: The workers.
        external: Models with a server of their own.
        order: All models' names, the default first.
        budgets: Bytes that all models of a worker may take, in the order of the workers.
        devices: The workers' slices, for people.
        aliases: The spec's aliases.
        state: Where to keep what the next gateway must know.
        load_timeout_s: Time that loading a model may take.
        idle_unload_s: Time after which a lazy model that nobody uses is unloaded.
    """

    def __init__(
        self,
        models: Sequence[ManagedModel],
        fleet: Fleet,
        *,
        order: Sequence[str],
        budgets: Sequence[int],
        devices: Sequence[str],
        aliases: Mapping[str, tuple[AliasTarget, ...]],
        state: StateFile,
        load_timeout_s: float,
        idle_unload_s: float | None,
        external: Sequence[ExternalModel] = (),
    ) -> None:
        self._models = {model.name: model for model in models}
        self._external = {model.served.name: model for model in external}
        served = {name: model.served for name, model in self._models.items()}
        served |= {name: model.served for name, model in self._external.items()}
        self._served = {name: served[name] for name in order}
        self._fleet = fleet
        self._budgets = tuple(budgets)
        self._devices = tuple(devices)
        self._file = state
        self._load_timeout_s = load_timeout_s
        self._idle_unload_s = idle_unload_s
        self._locks = [asyncio.Lock() for _ in fleet.links]
        self._tasks: set[asyncio.Task[Any]] = set()
        saved = state.read()
        self._aliases = AliasTable(
            aliases if saved is None else saved.aliases, lambda: tuple(self._served)
        )
        self._wanted = {
            (model.name, placed.worker)
            for model in models
            for placed in model.config.placed
            if (
                model.config.load == "preload"
                if saved is None
                else (model.name, placed.worker) in saved.loaded
            )
        }
        for model in models:
            model.pool.unloaded = not self._is_wanted(model)
        fleet.worker_up = self._on_worker_up

    # The directory ----------------------------------------------------------------------------

    def find(self, name: str | None) -> ServedModel | None:
        """See `ModelDirectory.find`."""
        if name is None:
            return next(iter(self._served.values()), None)
        found = self._served.get(name)
        if found is None and (behind := self._aliases.resolve(name)) is not None:
            found = self._served.get(behind)
        return found

    def peek(self, name: str | None) -> ServedModel | None:
        """See `ModelDirectory.peek`."""
        behind = None if name is None else self._aliases.peek(name)
        return self.find(name if behind is None else behind)

    def names(self) -> tuple[str, ...]:
        """See `ModelDirectory.names`."""
        return (*self._served, *self._aliases.all())

    def all(self) -> tuple[ServedModel, ...]:
        """See `ModelDirectory.all`."""
        return tuple(self._served.values())

    # What operators ask -----------------------------------------------------------------------

    def models(self) -> tuple[ModelStatus, ...]:
        """See `ModelControl.models`."""
        return tuple(self._status(name) for name in self._served)

    async def load(self, name: str) -> ModelStatus:
        """See `ModelControl.load`."""
        model = self._managed(name)
        if model is not None:
            await asyncio.shield(self._begin_loading(model))
        return self._status(name)

    async def unload(self, name: str) -> ModelStatus:
        """See `ModelControl.unload`."""
        model = self._managed(name)
        if model is None:
            raise UsageError(
                f"{name!r} runs in a server of its own and stays loaded",
                where="model",
                hint="Take it out of the spec and start the server again",
            )
        await asyncio.shield(self._start(self._unload(model)))
        return self._status(name)

    def aliases(self) -> dict[str, tuple[AliasTarget, ...]]:
        """See `ModelControl.aliases`."""
        return self._aliases.all()

    def set_alias(self, name: str, targets: tuple[AliasTarget, ...]) -> None:
        """See `ModelControl.set_alias`."""
        self._aliases.set(name, targets)
        self._save()

    def remove_alias(self, name: str) -> None:
        """See `ModelControl.remove_alias`."""
        self._aliases.remove(name)
        self._save()

    # What the gateway asks --------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether every model that is loaded at the start has been there."""
        if any(model.status().state != "ready" for model in self._external.values()):
            return False
        if not self._fleet.links:
            return bool(self._external)
        return any(link.up for link in self._fleet.links) and all(
            model.pool.state().state != "loading"
            for model in self._models.values()
            if model.config.load == "preload" and self._is_wanted(model)
        )

    def wanted_by_request(self, name: str) -> float:
        """A request came for a model that is not loaded: begin to load it.

        Returns:
            When that is given up, on the event loop's clock.

        Raises:
            GenerationFailed: It could not be loaded a moment ago.
        """
        model = self._models[name]
        if model.failure is not None and _now() < model.failed_until:
            raise _failed(model.failure)
        self._begin_loading(model)
        return _now() + self._load_timeout_s

    async def run(self) -> None:
        """Unload what nobody uses, for as long as the gateway lives."""
        if self._idle_unload_s is None:
            await asyncio.Event().wait()
            return
        while True:
            await asyncio.sleep(min(_LONGEST_IDLE_CHECK_S, self._idle_unload_s / 4))
            longest_ago = _now() - self._idle_unload_s
            for model in self._models.values():
                used = max(model.pool.last_used or 0.0, model.loaded_at)
                if (
                    model.config.load == "lazy"
                    and self._is_wanted(model)
                    and used < longest_ago
                    and not model.pool.busy
                    and not _under_way(model)
                ):
                    _log.info("%s was not used for %g s", model.name, self._idle_unload_s)
                    self._start(self._unload(model))

    # Loading ----------------------------------------------------------------------------------

    def _begin_loading(self, model: ManagedModel) -> asyncio.Task[None]:
        if model.loading is not None and not model.loading.done():
            return model.loading
        self._wanted |= {(model.name, placed.worker) for placed in model.config.placed}
        self._save()
        pool = model.pool
        pool.unloaded = False
        if not any(replica.up and not replica.leaving for replica in pool.state().workers):
            pool.loading_until = _now() + self._load_timeout_s
        model.loading = self._start(self._load(model))
        return model.loading

    async def _load(self, model: ManagedModel) -> None:
        began = _now()
        outcomes = await asyncio.gather(
            *(self._ensure_in_time(model, placed) for placed in model.config.placed),
            return_exceptions=True,
        )
        errors: list[PilotageError] = []
        for placed, outcome in zip(model.config.placed, outcomes, strict=True):
            if isinstance(outcome, PilotageError):
                errors.append(outcome)
                self._wanted.discard((model.name, placed.worker))
                model.pool.fail_waiting(_failed(outcome), placed.worker)
            elif isinstance(outcome, BaseException):
                raise outcome
        model.failure = errors[0] if errors else None
        if not errors:
            model.loaded_at = _now()
            _log.info("%s is loaded after %.1f s", model.name, model.loaded_at - began)
            return
        self._save()
        _log.warning("%s could not be loaded: %s", model.name, errors[0])
        if not self._is_wanted(model):
            waits = not isinstance(errors[0], ResourceError)
            model.failed_until = _now() + (_TRY_AGAIN_S if waits else 0.0)
            model.pool.unloaded = True
            model.pool.loading_until = None
            model.pool.fail_waiting(_failed(errors[0]))
        raise errors[0]

    async def _ensure_in_time(self, model: ManagedModel, placed: PlacedEngine) -> None:
        try:
            async with asyncio.timeout(self._load_timeout_s):
                await self._ensure(model, placed)
        except TimeoutError:
            raise ResourceError(
                f"{model.name} was not loaded within {self._load_timeout_s:g} s",
                where=f"worker {placed.worker}",
                hint="Raise serving.load_timeout, or look at the worker's log",
            ) from None

    async def _ensure(self, model: ManagedModel, placed: PlacedEngine) -> None:
        """See to it that a worker has all copies of a model."""
        link = self._fleet.links[placed.worker]
        async with self._locks[placed.worker]:
            for _ in range(_TRIES):
                while not link.up or link.loading(model.name):  # noqa: ASYNC110  spans restarts
                    await asyncio.sleep(_POLL_S)
                missing = placed.copies - len(link.copies(model.name))
                if missing <= 0:
                    model.pool.stay(link.copies(model.name))
                    return
                await self._make_room(model, link, missing * placed.config.memory_bytes)
                try:
                    for _ in range(missing):
                        await link.load(placed.config)
                except WorkerLost:
                    continue
                return
        raise ModelError(
            f"the worker died each of the {_TRIES} times it was to load {model.name}",
            where=placed.config.path,
            hint="The server's log has its last words",
        )

    async def _make_room(self, model: ManagedModel, link: WorkerLink, needed: int) -> None:
        budget = self._budgets[link.index]
        held = {
            other.name: placed.config.memory_bytes * copies
            for other in self._models.values()
            if (placed := other.on(link.index))
            and (copies := len(link.copies(other.name)) + link.loading(other.name))
        }
        others = [self._models[name] for name in held if name != model.name]
        idle = sorted(
            (one for one in others if not one.pool.busy and not _under_way(one)),
            key=lambda one: max(one.pool.last_used or 0.0, one.loaded_at),
        )
        victims = choose_victims(
            budget=budget, held=held, needed=needed, idle=[one.name for one in idle]
        )
        if victims is None:
            raise ResourceError(
                f"{model.name} needs {format_size(needed, digits=3)}; models in use hold "
                f"{format_size(sum(held.values()), digits=3)} of the "
                f"{format_size(budget, digits=3)} that models may take",
                where=f"worker {link.index}",
                hint="Come back when they are idle, or raise serving.memory_budget",
            )
        for name in victims:
            _log.info("%s makes room for %s on worker %d", name, model.name, link.index)
            self._retire(self._models[name], link)
        for name in victims:
            await self._close(self._models[name], link)

    # Unloading --------------------------------------------------------------------------------

    async def _unload(self, model: ManagedModel) -> None:
        for placed in model.config.placed:
            async with self._locks[placed.worker]:
                link = self._fleet.links[placed.worker]
                self._retire(model, link)
                await self._close(model, link)
        model.failure = None

    def _retire(self, model: ManagedModel, link: WorkerLink) -> None:
        """From now on it takes nothing new there."""
        self._wanted.discard((model.name, link.index))
        self._save()
        model.pool.unloaded = not self._is_wanted(model)
        model.pool.retire(link.copies(model.name))

    async def _close(self, model: ManagedModel, link: WorkerLink) -> None:
        """Let what it was given finish, then free its memory."""
        replicas = link.copies(model.name)
        while link.up and not model.pool.finished(replicas):  # noqa: ASYNC110  of many
            await asyncio.sleep(_POLL_S)
        for replica in replicas:
            await link.unload(replica)

    # Workers come and go ----------------------------------------------------------------------

    def _on_worker_up(self, link: WorkerLink) -> None:
        for model in self._models.values():
            placed = model.on(link.index)
            if placed is None:
                continue
            copies = len(link.copies(model.name)) + link.loading(model.name)
            wanted = (model.name, link.index) in self._wanted
            if wanted and copies < placed.copies:
                self._start(self._restore(model, placed))
            elif copies and not wanted:
                self._start(self._close_unwanted(model, link))

    async def _restore(self, model: ManagedModel, placed: PlacedEngine) -> None:
        """Load again what a worker held before it died."""
        try:
            await self._ensure_in_time(model, placed)
        except PilotageError as error:
            _log.error("%s was lost with worker %d: %s", model.name, placed.worker, error)
            model.failure = error
            self._wanted.discard((model.name, placed.worker))
            self._save()
            if not self._is_wanted(model):
                model.pool.unloaded = True
                model.pool.fail_waiting(_failed(error))

    async def _close_unwanted(self, model: ManagedModel, link: WorkerLink) -> None:
        async with self._locks[link.index]:
            if (model.name, link.index) not in self._wanted:
                self._retire(model, link)
                await self._close(model, link)

    # Inside -----------------------------------------------------------------------------------

    def _is_wanted(self, model: ManagedModel) -> bool:
        return any((model.name, placed.worker) in self._wanted for placed in model.config.placed)

    def _managed(self, name: str) -> ManagedModel | None:
        """The model of that name; None for an external one."""
        if name not in self._served:
            raise UsageError(
                f"there is no model {name[:128]!r}",
                where="model",
                hint=f"Models: {', '.join(self._served)}",
            )
        return self._models.get(name)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not isinstance(error, PilotageError):
            _log.error("the models' management failed", exc_info=error)

    def _save(self) -> None:
        self._file.write(
            SavedState(loaded=tuple(sorted(self._wanted)), aliases=self._aliases.all())
        )

    def _status(self, name: str) -> ModelStatus:
        if name in self._external:
            return self._external[name].status()
        return model_status(self._models[name], self._fleet, self._devices, self._wanted)


def _under_way(model: ManagedModel) -> bool:
    return model.loading is not None and not model.loading.done()


def _failed(error: PilotageError) -> GenerationFailed:
    """What a request hears that waited for a model in vain."""
    if isinstance(error, ResourceError):
        return Unavailable(str(error), retry_after_s=_ROOM_RETRY_S, code="model_not_loaded")
    return GenerationFailed(
        f"the model could not be loaded: {error}", status=500, code="model_not_loaded"
    )


def _now() -> float:
    return asyncio.get_running_loop().time()
