"""Draws the example picture beside the model: a red circle, a yellow triangle, a blue square.

python -m scripts.shapes.example models/shapes-vlm/example.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scripts.shapes.pictures import draw
from scripts.shapes.scene import Figure, Scene

EXAMPLE = Scene(
    width=280,
    height=260,
    columns=2,
    rows=2,
    figures=(
        Figure("circle", "red", column=0, row=0),
        Figure("triangle", "yellow", column=1, row=0),
        Figure("square", "blue", column=1, row=1),
    ),
)


def main() -> None:
    """Writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    draw(EXAMPLE, np.random.default_rng(24)).image.save(parser.parse_args().out, optimize=True)


if __name__ == "__main__":
    main()
