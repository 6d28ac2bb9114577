"""Check the documents against the tree: links, paths, and the house as drawn.

- every relative link of a Markdown file leads to a file (and to a heading, when it names one);
- `docs/architecture.md` names every room and every file of the package, and nothing that is gone;
- no document names a machine path or a package registry's address.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "pilotage"
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+\s+(.*)$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
FORBIDDEN = re.compile(r"/work/|/root/|pypi\.org/simple|files\.pythonhosted")


def documents() -> list[Path]:
    """The Markdown files that git knows or would take."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.md"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [ROOT / name for name in listed.stdout.split("\n") if name and (ROOT / name).exists()]


def anchor(heading: str) -> str:
    """The anchor that a forge makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def link_problems(document: Path) -> list[str]:
    """Relative links that lead nowhere."""
    problems = []
    text = FENCE.sub("", document.read_text())
    for target in LINK.findall(text):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, fragment = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        if not file.exists():
            problems.append(f"{document.relative_to(ROOT)}: no such file: {target}")
        elif fragment and file.suffix == ".md":
            anchors = {anchor(title) for title in HEADING.findall(file.read_text())}
            if fragment not in anchors:
                problems.append(f"{document.relative_to(ROOT)}: no such heading: {target}")
    return problems


def architecture_problems() -> list[str]:
    """Modules that the drawing lacks, and names in it that no longer exist."""
    drawing = (ROOT / "docs" / "architecture.md").read_text()
    tree = re.search(r"```\nsrc/pilotage/\n(.*?)```", drawing, re.DOTALL)
    if tree is None:
        return ["docs/architecture.md: no drawing of src/pilotage/"]
    drawn = set(re.findall(r"([a-z_][a-z0-9_]*\.py|[a-z_][a-z0-9_]*/)", tree.group(1)))
    modules = {path.name for path in PACKAGE.rglob("*.py") if path.name not in ("__init__.py",)} | {
        f"{path.parent.name}/" for path in PACKAGE.rglob("__init__.py") if path.parent != PACKAGE
    }
    return [f"docs/architecture.md: does not name {name}" for name in sorted(modules - drawn)] + [
        f"docs/architecture.md: names {name}, which is not there"
        for name in sorted(drawn - modules)
    ]


def main() -> int:
    """Print what is wrong; 1 if anything is."""
    problems = architecture_problems()
    for document in documents():
        problems += link_problems(document)
        if FORBIDDEN.search(document.read_text()):
            problems.append(f"{document.relative_to(ROOT)}: names a machine path or a registry")
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
