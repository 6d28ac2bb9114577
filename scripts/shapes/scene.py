"""What is in a picture, before anything is drawn: figures in the cells of a grid, or one digit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SHAPES = ("circle", "square", "triangle", "cross")
COLOURS = ("red", "yellow", "green", "blue", "black", "white")

PLACES = (
    "top left",
    "top right",
    "bottom left",
    "bottom right",
    "left",
    "right",
    "top",
    "bottom",
)

SHORTEST_SIDE = 80
LONGEST_SIDE = 400


@dataclass(frozen=True)
class Figure:
    """One coloured shape.

    Attributes:
        shape: One of `SHAPES`.
        colour: One of `COLOURS`.
        column: Its cell, from the left.
        row: Its cell, from the top.
    """

    shape: str
    colour: str
    column: int
    row: int


@dataclass(frozen=True)
class Digit:
    """One digit, alone in its picture."""

    value: int
    colour: str


@dataclass(frozen=True)
class Scene:
    """The content of one picture: figures, or a digit, never both.

    Attributes:
        width: Of the picture, in pixels.
        height: Of the picture, in pixels.
        columns: Cells from left to right: 2, or 1 in a tall picture.
        rows: Cells from top to bottom: 2, or 1 in a wide picture.
        figures: In reading order, at most one a cell.
        digit: The digit, when the picture shows one.
    """

    width: int
    height: int
    columns: int
    rows: int
    figures: tuple[Figure, ...] = ()
    digit: Digit | None = None

    def place(self, figure: Figure) -> str:
        """Where `figure` is, in words: one of `PLACES`."""
        down = ("top", "bottom")[figure.row] if self.rows == 2 else ""
        across = ("left", "right")[figure.column] if self.columns == 2 else ""
        return f"{down} {across}".strip()


def make_scene(rng: np.random.Generator) -> Scene:
    """A scene at random: one in three shows a digit, two in five are wide or tall."""
    layout = rng.choice(["square", "wide", "tall"], p=[0.6, 0.2, 0.2])
    width, height = _size(rng, str(layout))
    columns = 1 if layout == "tall" else 2
    rows = 1 if layout == "wide" else 2
    if rng.random() < 1 / 3:
        digit = Digit(value=int(rng.integers(10)), colour=str(rng.choice(COLOURS)))
        return Scene(width, height, columns, rows, digit=digit)
    return Scene(width, height, columns, rows, figures=_figures(rng, columns, rows))


def _size(rng: np.random.Generator, layout: str) -> tuple[int, int]:
    """Width and height in pixels, sides between `SHORTEST_SIDE` and `LONGEST_SIDE`."""
    if layout == "square":
        short = int(rng.integers(SHORTEST_SIDE, 300))
        long = int(short * rng.uniform(1.0, 1.15))
        return (short, long) if rng.random() < 0.5 else (long, short)
    short = int(rng.integers(SHORTEST_SIDE, 150))
    long = min(LONGEST_SIDE, int(short * rng.uniform(1.8, 2.3)))
    return (long, short) if layout == "wide" else (short, long)


def _figures(rng: np.random.Generator, columns: int, rows: int) -> tuple[Figure, ...]:
    """Figures in cells of their own; often several of one shape or colour."""
    cells = columns * rows
    count = int(rng.integers(1, cells + 1))
    usual_shape, usual_colour = str(rng.choice(SHAPES)), str(rng.choice(COLOURS))
    alike_in_shape, alike_in_colour = rng.choice([0.0, 0.5, 0.9]), rng.choice([0.0, 0.0, 0.6])
    figures = []
    for cell in sorted(int(c) for c in rng.choice(cells, count, replace=False)):
        shape = usual_shape if rng.random() < alike_in_shape else str(rng.choice(SHAPES))
        colour = usual_colour if rng.random() < alike_in_colour else str(rng.choice(COLOURS))
        figures.append(Figure(shape, colour, column=cell % columns, row=cell // columns))
    return tuple(figures)
