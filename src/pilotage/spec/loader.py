"""From a YAML file to a spec, with every error at its line.

::

    receipts.yaml:7: workload.arivals: unknown key; did you mean "arrivals"?
    receipts.yaml:12: slo.ttft_p99: unknown unit "millis" in "400millis"; …

All problems of a file are reported at once.
"""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import ValidationError

from pilotage.errors import SpecError
from pilotage.spec.deployment import Deployment, Portfolio
from pilotage.spec.problems import as_error, find_problems
from pilotage.spec.yaml_source import read_yaml

_LARGEST_FILE = 1024 * 1024


def load(path: str | os.PathLike[str], deployment: str | None = None) -> Deployment:
    """The deployment that the file at ``path`` describes.

    Args:
        path: A YAML file.
        deployment: Which one, by name. Needed when the file is a portfolio of several.

    Raises:
        SpecError: The file cannot be read, is wrong, or does not hold that one deployment.
    """
    spec = load_file(path)
    choices = {one.name: one for one in _deployments_of(spec)}
    if deployment is None and len(choices) == 1:
        return next(iter(choices.values()))
    names = ", ".join(choices)
    if deployment is None:
        raise SpecError(
            f"a portfolio of {len(choices)} deployments: {names}",
            where=str(path),
            hint="Choose one by its name",
        )
    if deployment not in choices:
        raise SpecError(
            f'there is no deployment "{deployment}"', where=str(path), hint=f"There is {names}"
        )
    return choices[deployment]


def load_file(path: str | os.PathLike[str]) -> Deployment | Portfolio:
    """What the file at ``path`` describes.

    Raises:
        SpecError: The file cannot be read or is wrong.
    """
    return parse(_read(Path(path)), str(path), folder=Path(path).absolute().parent)


def parse(text: str, filename: str, folder: Path | None = None) -> Deployment | Portfolio:
    """What ``text`` describes: a portfolio if it has ``deployments``, else a deployment.

    Args:
        text: YAML.
        filename: Its name in error messages.
        folder: Where relative paths in it start; the working folder if not given.

    Raises:
        SpecError: The text is wrong. Several problems come as one :class:`InvalidSpecError`.
    """
    source = read_yaml(text, filename)
    if source.data is None:
        raise SpecError(
            "the file is empty",
            where=filename,
            hint='A spec holds at least a name, such as "name: demo"',
        )
    if not isinstance(source.data, dict):
        found = "a list" if isinstance(source.data, list) else "a single value"
        raise SpecError(
            f"should be a spec with keys such as name and model, but is {found}",
            where=f"{filename}:{source.line_of(())}",
        )
    root = Portfolio if "deployments" in source.data else Deployment
    context = {"folder": folder or Path.cwd()}
    problems = list(source.problems)
    try:
        spec = root.model_validate(source.data, context=context)
    except ValidationError as error:
        # What could not be read is left out of the data: do not also call it missing.
        problems += [
            (source.line_of(problem.path), problem)
            for problem in find_problems(error, root, source.written)
            if problem.path not in source.unread
        ]
    else:
        if not problems:
            return spec
    problems.sort(key=lambda located: located[0])
    raise as_error([problem.error_naming_field(f"{filename}:{line}") for line, problem in problems])


def _deployments_of(spec: Deployment | Portfolio) -> tuple[Deployment, ...]:
    return spec.deployments if isinstance(spec, Portfolio) else (spec,)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
    except FileNotFoundError:
        raise SpecError("there is no such file", where=str(path)) from None
    except IsADirectoryError:
        raise SpecError("is a folder, not a spec file", where=str(path)) from None
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise SpecError(f"cannot be read: {reason}", where=str(path)) from None
    except ValueError:
        raise SpecError("is no valid file name", where=str(path)[:80].replace("\0", "")) from None
    if len(data) > _LARGEST_FILE:
        raise SpecError(
            "is larger than 1 MiB; no spec is so large",
            where=str(path),
            hint="A model file or folder goes into model.source",
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SpecError("is not UTF-8 text", where=f"{path}:{line}") from None
