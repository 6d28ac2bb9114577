"""A workflow, which is data, as the text of a file that people read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import yaml

from pilotage.ship.pipeline.actions import load_actions

Step = dict[str, Any]
Job = dict[str, Any]

_USES: Final = re.compile(r"^(\s*(?:- )?uses: )([\w./-]+)@([0-9a-f]{40})$", re.MULTILINE)
_ON: Final = re.compile(r"^'on':$", re.MULTILINE)
_HEADS: Final = re.compile(r"^(?=(?:on|permissions|concurrency|env|defaults):)", re.MULTILINE)
_JOBS: Final = re.compile(r"^(?=  [a-z]+:$)", re.MULTILINE)
_ORDER: Final = ("name", "needs", "id", "if", "runs-on", "timeout-minutes", "environment")
_PERMISSION: Final = re.compile(r"^ {6}(contents|id-token|deployments): \w+$", re.MULTILINE)
_REASONS: Final = {
    "contents": "to check out",
    "id-token": "to ask AWS for credentials",
    "deployments": "to find what was promoted last",
}


def as_text(workflow: Mapping[str, Any]) -> str:
    """YAML, with each action's version as a comment beside its commit."""
    jobs = {name: _ordered(job) for name, job in workflow["jobs"].items()}
    for job in jobs.values():
        job["steps"] = [_ordered(step) for step in job["steps"]]
    text = yaml.dump(
        {**workflow, "jobs": jobs}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000
    )
    # YAML 1.1 takes a bare `on` for a truth value, so that PyYAML quotes it; GitHub does not.
    text = _ON.sub("on:", text)
    head, mark, rest = text.partition("\njobs:\n")
    text = _HEADS.sub("\n", head) + "\n" + mark + _JOBS.sub("\n", rest).lstrip("\n")
    text = _PERMISSION.sub(_with_reason, text)
    return _USES.sub(_with_version, text)


def _ordered(part: Mapping[str, Any]) -> dict[str, Any]:
    """A job or a step with what it is first, what it does last."""
    first = {key: part[key] for key in _ORDER if key in part}
    return {**first, **{key: value for key, value in part.items() if key not in first}}


def _with_reason(found: re.Match[str]) -> str:
    return f"{found[0]} # {_REASONS[found[1]]}"


def _with_version(found: re.Match[str]) -> str:
    action = load_actions()[found[2]]
    assert action.sha == found[3], f"{action.name} is pinned elsewhere"
    return f"{found[1]}{action.pinned} # {action.version}"


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, lists indented, and no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        del indentless
        super().increase_indent(flow, indentless=False)


def _text(dumper: yaml.SafeDumper, data: str) -> yaml.ScalarNode:
    style = "|" if "\n" in data else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _text)
