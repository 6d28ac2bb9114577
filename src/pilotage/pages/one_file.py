"""HTML pages that need nothing but themselves: no network, no fonts, no library.

Text is escaped by the template; a content security policy names the page's own style and script by
their hashes, so that nothing else runs or loads even if an escape were missed.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup


def render(package: str, template: str, *, style: str, script: str = "", **values: Any) -> str:
    """A page.

    Args:
        package: The package whose folder has the templates.
        template: The template's file name there. It is given ``policy`` (the content security
            policy), ``style`` and ``script``, and the values.
        style: The page's style sheet: our own text, which is not escaped.
        script: Its script, likewise; none may run without one.
        values: What else the template shows; escaped.
    """
    policy = f"default-src 'none'; style-src {_hash(style)}"
    if script:
        policy += f"; script-src {_hash(script)}"
    return (
        _environment(package)
        .get_template(template)
        .render(
            policy=policy,
            style=Markup(style),  # noqa: S704 - our own file
            script=Markup(script),  # noqa: S704 - our own file
            **values,
        )
    )


def read(package: str, name: str) -> str:
    """The text of the file ``name`` of ``package``."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


@functools.cache
def _environment(package: str) -> Environment:
    return Environment(
        loader=FunctionLoader(functools.partial(read, package)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
