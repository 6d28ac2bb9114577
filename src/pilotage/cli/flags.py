"""Command-line flags made from the spec's own fields: an option is stated once, in its section.

::

    @app.command()
    @with_spec_flags(ServingSpec, ModelSpec, SloSpec, exclude={"source"})
    def serve(spec: Path | None = None, *, overrides: Overrides) -> None:
        deployment = apply_overrides(load(spec) if spec else Deployment(), overrides)
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import typer
from pydantic import ValidationError

from pilotage.spec import SOURCE_BOUND_FIELDS, Deployment, Section, find_problems
from pilotage.spec.problems import Problem, as_error, dotted
from pilotage.spec.reference import FieldReference, fields_of, sections_in

Overrides = dict[str, dict[str, object]]
"""The flags that were given: section → field → value."""

_P = ParamSpec("_P")
_R = TypeVar("_R")

_TYPES = {"whole number": int, "number": float, "true or false": bool}


def flag_of(field: str) -> str:
    """The flag of a spec field: ``max_num_seqs`` → ``--max-num-seqs``."""
    return "--" + field.replace("_", "-")


def spec_options(
    *sections: type[Section], exclude: Collection[str] = ()
) -> dict[str, list[inspect.Parameter]]:
    """Typer options for the fields of ``sections``, by the section's name in a deployment.

    Fields that are sections, lists or mappings have no flag.

    Args:
        sections: Sections of a deployment.
        exclude: Names of fields to leave out.

    Raises:
        ValueError: Two sections share a field name, which one flag cannot tell apart.
    """
    options: dict[str, list[inspect.Parameter]] = {}
    seen: set[str] = set()
    for section in sections:
        name = _name_of(section)
        fields = [
            field
            for field in fields_of(section)
            if field.name not in exclude and field.kind not in ("section", "list", "mapping")
        ]
        if shared := seen.intersection(field.name for field in fields):
            raise ValueError(f"flags of two sections: {', '.join(sorted(shared))}")
        seen.update(field.name for field in fields)
        options[name] = [_option(field, panel=f"Spec: {name}") for field in fields]
    return options


def with_spec_flags(
    *sections: type[Section], exclude: Collection[str] = ()
) -> Callable[[Callable[_P, _R]], Callable[..., _R]]:
    """Give a typer command the flags of ``sections``.

    The command takes the flags that were given in one argument, ``overrides`` (:data:`Overrides`),
    and its own parameters as always.

    Raises:
        ValueError: A flag has the name of one of the command's own parameters, or of another flag.
    """
    options = spec_options(*sections, exclude=exclude)
    home = {option.name: name for name, group in options.items() for option in group}

    def decorate(command: Callable[_P, _R]) -> Callable[..., _R]:
        signature = inspect.signature(command, eval_str=True)
        own = [one for one in signature.parameters.values() if one.name != "overrides"]
        if shared := home.keys() & {one.name for one in own}:
            raise ValueError(f"both a parameter and a flag: {', '.join(sorted(shared))}")

        @functools.wraps(command)
        def run(*positional: Any, **arguments: Any) -> _R:
            overrides: Overrides = {}
            for field, section in home.items():
                value = arguments.pop(field, None)
                if value is not None:
                    overrides.setdefault(section, {})[field] = value
            return command(*positional, **{**arguments, "overrides": overrides})

        parameters = own + [option for group in options.values() for option in group]
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        return run

    return decorate


def apply_overrides(deployment: Deployment, overrides: Overrides) -> Deployment:
    """``deployment`` with the given flags in place of its own values.

    Relative paths start at the working folder. Another source drops what the old source's
    revision, digest and served name said, unless flags say them anew.

    Raises:
        SpecError: A value is wrong; ``where`` is the flag.
    """
    if not overrides:
        return deployment
    # What was set, not what was derived: a new source must not keep the old one's digest.
    data = deployment.model_dump(exclude_unset=True)
    if "source" in overrides.get("model", {}):
        for field in SOURCE_BOUND_FIELDS:
            data.get("model", {}).pop(field, None)
    for section, values in overrides.items():
        data[section] = {**(data.get(section) or {}), **values}
    try:
        return Deployment.model_validate(data, context={"folder": Path.cwd()})
    except ValidationError as error:
        problems = [
            problem.error(_where(problem, overrides))
            for problem in find_problems(error, Deployment)
        ]
    raise as_error(problems)


def _where(problem: Problem, overrides: Overrides) -> str:
    section, field = (*map(str, problem.path), "", "")[:2]
    given = field in overrides.get(section, {})
    return flag_of(field) if given else dotted(problem.path)


def _name_of(section: type[Section]) -> str:
    for name, known in sections_in(Deployment):
        if known is section:
            return name
    raise ValueError(f"{section.__name__} is no section of a deployment")


def _option(field: FieldReference, panel: str) -> inspect.Parameter:
    flag = flag_of(field.name)
    python_type = _TYPES.get(field.kind, str)
    choices = f" One of {', '.join(field.choices)}." if field.choices else ""
    option = typer.Option(
        f"{flag}/--no-{flag.removeprefix('--')}" if field.kind == "true or false" else flag,
        help=field.description + choices,
        # What the spec itself checks stays text here, so that errors read the same everywhere.
        metavar=f"<{field.kind}>" if python_type is str else None,
        autocompletion=(lambda: list(field.choices)) if field.choices else None,
        show_default=field.default if field.default is not None else False,
        # A panel of their own: the column of --no-… names would squeeze all others.
        rich_help_panel=f"{panel}, on or off" if python_type is bool else panel,
    )
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[python_type | None, option],
    )
