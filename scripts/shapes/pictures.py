"""Draws a scene: sizes, places, angles, colours, backgrounds and noise vary at random."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scripts.shapes.scene import Figure, Scene, make_scene

PALETTE = {
    "red": (214, 38, 38),
    "orange": (246, 136, 20),
    "yellow": (246, 224, 48),
    "green": (36, 150, 58),
    "blue": (38, 80, 214),
    "purple": (132, 48, 164),
    "black": (18, 18, 18),
    "white": (248, 248, 248),
}

_Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Spot:
    """Where something was drawn: an ellipse within it, in pixels.

    Attributes:
        thing: A shape, or a digit as text.
        colour: Its colour's name.
        place: Where it is, in words; none for a digit.
        x: The centre, from the left.
        y: The centre, from the top.
        across: Half the width.
        down: Half the height.
    """

    thing: str
    colour: str
    place: str | None
    x: float
    y: float
    across: float
    down: float


@dataclass(frozen=True)
class Picture:
    """A scene, drawn."""

    scene: Scene
    image: Image.Image
    spots: tuple[Spot, ...]


def make_picture(seed: int, index: int) -> Picture:
    """Picture number `index` of the endless series `seed`: the same for the same two numbers."""
    rng = np.random.default_rng([seed, index])
    return draw(make_scene(rng), rng)


def draw(scene: Scene, rng: np.random.Generator) -> Picture:
    """`scene` as an RGB picture of its size."""
    used = {figure.colour for figure in scene.figures}
    if scene.digit is not None:
        used.add(scene.digit.colour)
    image = _background(scene.width, scene.height, [PALETTE[name] for name in sorted(used)], rng)
    pen = ImageDraw.Draw(image)
    spots = [_draw_figure(pen, scene, figure, rng) for figure in scene.figures]
    if scene.digit is not None:
        spots.append(_draw_digit(pen, scene, rng))
    return Picture(scene, _with_noise(image, rng), tuple(spots))


def _background(
    width: int, height: int, figures: list[_Colour], rng: np.random.Generator
) -> Image.Image:
    """A muted colour, or a gradient between two, that stands off from every figure's colour."""
    ends: list[_Colour] = []
    while len(ends) < 2:
        tint = rng.integers(-25, 26, size=3) + int(rng.integers(70, 215))
        colour = (int(tint[0]), int(tint[1]), int(tint[2]))
        if all(math.dist(colour, other) > 85 for other in figures):
            ends.append(colour)
    if rng.random() < 0.5:
        return Image.new("RGB", (width, height), ends[0])
    ramp = Image.linear_gradient("L").rotate(90 * int(rng.integers(4)))
    middle = math.dist(ends[0], ends[1])
    if middle > 60:  # a gradient between far colours could pass close to a figure's
        return Image.new("RGB", (width, height), ends[1])
    mask = ramp.resize((width, height))
    return Image.composite(
        Image.new("RGB", (width, height), ends[0]), Image.new("RGB", (width, height), ends[1]), mask
    )


def _shade(name: str, rng: np.random.Generator) -> _Colour:
    """A colour close to what `name` stands for."""
    red, green, blue = PALETTE[name] + rng.integers(-14, 15, size=3)
    return (int(red), int(green), int(blue))


def _draw_figure(
    pen: ImageDraw.ImageDraw, scene: Scene, figure: Figure, rng: np.random.Generator
) -> Spot:
    """One figure, 62 to 92 % of its cell's shorter side, anywhere within the cell."""
    cell_width, cell_height = scene.width / scene.columns, scene.height / scene.rows
    radius = min(cell_width, cell_height) * rng.uniform(0.75, 0.95) / 2
    x = cell_width * (figure.column + 0.5 + rng.uniform(-0.06, 0.06))
    y = cell_height * (figure.row + 0.5 + rng.uniform(-0.06, 0.06))
    fill = _shade(figure.colour, rng)
    if figure.shape == "circle":
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
    else:
        turn = math.radians(rng.uniform(-10, 10))
        pen.polygon(_corners(figure.shape, x, y, radius, turn), fill=fill)
    return Spot(figure.shape, figure.colour, scene.place(figure), x, y, radius, radius)


def _corners(
    shape: str, x: float, y: float, radius: float, turn: float
) -> list[tuple[float, float]]:
    """The corners of a polygon about (x, y), `turn` radians off upright."""
    if shape == "cross":
        arm = 0.3
        unit = [(-arm, -1), (arm, -1), (arm, -arm), (1, -arm), (1, arm), (arm, arm)]
        unit += [(arm, 1), (-arm, 1), (-arm, arm), (-1, arm), (-1, -arm), (-arm, -arm)]
        unit = [(0.92 * u, 0.92 * v) for u, v in unit]
    elif shape == "square":
        unit = [(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)]
    elif shape == "triangle":
        unit = [(0, -1), (0.95, 0.8), (-0.95, 0.8)]
    else:  # a star of five points
        unit = []
        for point in range(10):
            reach, angle = (1.0 if point % 2 == 0 else 0.42), math.pi * point / 5
            unit.append((reach * math.sin(angle), -reach * math.cos(angle)))
    cos, sin = math.cos(turn), math.sin(turn)
    return [(x + radius * (u * cos - v * sin), y + radius * (u * sin + v * cos)) for u, v in unit]


def _draw_digit(pen: ImageDraw.ImageDraw, scene: Scene, rng: np.random.Generator) -> Spot:
    """The digit, 50 to 90 % of the shorter side high, anywhere within the picture."""
    assert scene.digit is not None
    shorter = min(scene.width, scene.height)
    font = ImageFont.load_default(size=shorter * rng.uniform(0.95, 1.15))
    text = str(scene.digit.value)
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    x = (scene.width - (right - left)) / 2 + shorter * rng.uniform(-0.05, 0.05) - left
    y = (scene.height - (bottom - top)) / 2 + shorter * rng.uniform(-0.05, 0.05) - top
    fill = _shade(scene.digit.colour, rng)
    stroke = max(0, round(shorter * rng.uniform(0.0, 0.02)))
    pen.text((x, y), text, font=font, fill=fill, stroke_width=stroke, stroke_fill=fill)
    across, down = (right - left) / 2, (bottom - top) / 2
    return Spot(text, scene.digit.colour, None, x + left + across, y + top + down, across, down)


def _with_noise(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """`image` with up to ±14 levels of grain."""
    reach = int(rng.integers(0, 15))
    if reach == 0:
        return image
    pixels = np.asarray(image, dtype=np.int16)
    grain = rng.integers(-reach, reach + 1, size=pixels.shape, dtype=np.int16)
    return Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8))
