"""The spec's page in the docs agrees with the models; run this file to rewrite the page."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pilotage.cli.spec import app
from pilotage.errors import SpecError
from pilotage.spec import Deployment, Portfolio, Section, parse
from pilotage.spec.reference import FieldReference, fields_of, sections_in

PAGE = Path(__file__).parents[2] / "docs" / "spec.md"
SECTIONS: dict[str, type[Section]] = {
    "deployment": Deployment,
    "portfolio": Portfolio,
    **dict(sections_in(Deployment)),
}
TABLE = re.compile(r"(<!-- fields: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
BROKEN = re.compile(r"```yaml\n(# broken\.yaml\n.*?)```\n\ngives\n\n```text\n(.*?)```", re.DOTALL)


def takes(field: FieldReference) -> str:
    return ", ".join(f"`{choice}`" for choice in field.choices) or field.kind


def default(field: FieldReference) -> str:
    if field.required:
        return "required"
    return f"`{field.default}`" if field.default is not None else ""


def table(section: type[Section]) -> str:
    rows = [
        f"| `{field.name}` | {takes(field)} | {default(field)} | {field.description} |\n"
        for field in fields_of(section)
    ]
    return "| field | takes | default | meaning |\n|---|---|---|---|\n" + "".join(rows)


def complaint(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        parse(text, "broken.yaml")
    return f"{caught.value}\n"


def rewritten(page: str) -> str:
    page = TABLE.sub(lambda found: found[1] + table(SECTIONS[found[2]]) + found[3], page)
    return BROKEN.sub(lambda found: found[0].replace(found[2], complaint(found[1])), page)


def test_tables_and_the_error_example_are_current() -> None:
    page = PAGE.read_text()
    assert page == rewritten(page), "run: python tests/spec/test_docs.py"
    assert BROKEN.search(page)


def test_every_section_has_its_table() -> None:
    shown = {SECTIONS[name] for _, name, _ in TABLE.findall(PAGE.read_text())}
    assert shown == set(SECTIONS.values())


def test_the_worked_example_is_what_the_command_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = PAGE.read_text()
    spec = re.findall(r"```yaml\n(name: receipts\n.*?)```", page, re.DOTALL)[0]
    said = re.findall(r"\$ pilotage spec check receipts.yaml\n(.*?)```", page, re.DOTALL)[0]
    (tmp_path / "receipts.yaml").write_text(spec)
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["check", "receipts.yaml"]).stdout == said


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text()))
