"""A receipt as a picture."""

from __future__ import annotations

from functools import lru_cache

from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from pilotage.prove.payloads.generated_images import encoded
from pilotage.prove.payloads.image import Image
from pilotage.prove.payloads.receipt import Receipt, money

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_PAPER = (250, 248, 240)
_INK = (28, 28, 32)
_COLUMNS = 24  # characters across, about, in the widest line


def receipt_image(receipt: Receipt, width: int, height: int) -> Image:
    """`receipt` drawn on `width` by `height` pixels, a JPEG. Readable from 128 by 128 on."""
    rows: list[tuple[str, str]] = [
        (receipt.merchant, ""),
        (receipt.day.isoformat(), ""),
        *((item.name, money(item.cents)) for item in receipt.items),
        ("TOTAL", money(receipt.total_cents)),
    ]
    image = Pillow.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(image)
    step = height / (len(rows) + 1)
    font = _font(max(6, int(min(step * 0.7, width * 1.8 / _COLUMNS))))
    margin = width // 16
    last = len(rows) - 1
    for place, (left, right) in enumerate(rows):
        top = (place + 0.5) * step
        if place in (2, last):
            draw.line((margin, top, width - margin, top), fill=_INK)
        draw.text((margin, top + step * 0.15), left, fill=_INK, font=font)
        draw.text((width - margin, top + step * 0.15), right, fill=_INK, font=font, anchor="ra")
    return encoded(image, "jpeg")


@lru_cache(64)
def _font(size: int) -> _Font:
    return ImageFont.load_default(size)
