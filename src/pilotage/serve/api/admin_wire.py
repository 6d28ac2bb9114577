"""Bodies of the admin API: what is taken, and for the OpenAPI document what is given."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from pilotage.serve.api.fields import Body

_State = Literal["unloaded", "loading", "ready", "unloading", "failed"]


class TargetBody(Body):
    """A model behind an alias."""

    model: Annotated[str, Field(min_length=1, max_length=512, description="A served model.")]
    weight: Annotated[
        float, Field(gt=0, le=1e6, description="Its share, relative to the other targets'.")
    ] = 1.0


class SetAlias(Body):
    """What an alias shall stand for."""

    targets: Annotated[
        list[TargetBody],
        Field(min_length=1, max_length=64, description="Models that share its requests."),
    ]


class Replica(BaseModel):
    """One copy of a model on one worker."""

    worker: int
    device: str
    state: _State
    running: int
    memory_bytes: int


class AdminModel(BaseModel):
    """A model that the server knows, loaded or not."""

    name: str
    source: str
    engine: str
    task: str
    state: _State
    replicas: list[Replica]
    queued: int
    last_used_s: float | None
    error: str | None


class AdminModelList(BaseModel):
    """All models."""

    object: Literal["list"]
    data: list[AdminModel]


class AliasTargetView(BaseModel):
    """A model behind an alias, and its weight."""

    model: str
    weight: float


class Alias(BaseModel):
    """An alias and what it stands for."""

    name: str
    targets: list[AliasTargetView]


class AliasList(BaseModel):
    """All aliases."""

    object: Literal["list"]
    data: list[Alias]


class DeletedAlias(BaseModel):
    """An alias that is gone."""

    name: str
    deleted: Literal[True]
