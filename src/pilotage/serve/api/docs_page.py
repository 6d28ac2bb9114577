"""A page about the API that needs nothing from elsewhere."""

from __future__ import annotations

from html import escape
from typing import Any

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
code{font:14px/1.5 ui-monospace,monospace}
table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;padding:.3rem .8rem .3rem 0;border-bottom:1px solid #8884}
@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}a{color:#8bf}}
"""


def docs_page(openapi: dict[str, Any]) -> str:
    """The endpoints of an OpenAPI document and the fields of their requests, as HTML."""
    schemas = openapi["components"]["schemas"]
    rows, details = [], []
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            route = f"<code>{escape(method.upper())} {escape(path)}</code>"
            rows.append(f"<tr><td>{route}<td>{escape(operation['summary'])}")
            fields = _fields(operation, schemas)
            if fields:
                details.append(f"<h2>{route}</h2><table><tr><th>Field<th>Meaning{fields}</table>")
    info = openapi["info"]
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(info['title'])}</title>"
        "<meta name=viewport content='width=device-width'>"
        f"<style>{_STYLE}</style><h1>{escape(info['title'])} {escape(info['version'])}</h1>"
        f"<p>{escape(info['description'])} The whole of it, for tools: "
        "<a href=openapi.json>openapi.json</a>.</p>"
        f"<table>{''.join(rows)}</table>{''.join(details)}"
    )


def _fields(operation: dict[str, Any], schemas: dict[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    reference = content.get("application/json", {}).get("schema", {}).get("$ref", "")
    schema = schemas.get(reference.rpartition("/")[2], {})
    required = schema.get("required", ())
    rows = []
    for name, field in schema.get("properties", {}).items():
        said = field.get("description", "")
        for option in field.get("anyOf", ()):
            said = said or option.get("description", "")
        note = "required. " if name in required else ""
        rows.append(f"<tr><td><code>{escape(name)}</code><td>{escape(note + said)}")
    return "".join(rows)
