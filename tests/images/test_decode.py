import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pilotage.images import ImageError, ImageLimits, VisionInput
from pilotage.images.decode import decode
from pilotage.images.resize import resampling_of

LIMITS = ImageLimits(max_pixels=1_000_000)


def vision(**changes) -> VisionInput:
    facts = {"family": "test", "width": 640, "height": 640, "image_token": "<i>"}
    return VisionInput(**facts | {"preprocessor": {}} | changes)


def decoded(image: Image.Image, kind="PNG", model=None, **options) -> np.ndarray:
    data = io.BytesIO()
    image.save(data, kind, **options)
    pixels = decode(data, LIMITS, model or vision())
    return np.frombuffer(pixels.data, np.uint8).reshape(pixels.height, pixels.width, 3)


def halves(mode, left, right) -> Image.Image:
    image = Image.new(mode, (8, 4), left)
    image.paste(right, (4, 0, 8, 4))
    return image


def deep(left, right) -> Image.Image:
    return Image.fromarray(np.array([[left, right]], np.uint16))


@pytest.mark.parametrize(
    ("image", "left", "right"),
    [
        (halves("RGB", (1, 2, 3), (4, 5, 6)), (1, 2, 3), (4, 5, 6)),
        (halves("L", 10, 250), (10,) * 3, (250,) * 3),
        (halves("1", 0, 1), (0,) * 3, (255,) * 3),
        (deep(256 * 10, 256 * 200 + 7), (10,) * 3, (200,) * 3),
        (halves("RGBA", (255, 0, 0, 255), (255, 0, 0, 0)), (255, 0, 0), (255,) * 3),
        (halves("RGBA", (0, 0, 0, 51), (0, 0, 0, 255)), (204,) * 3, (0, 0, 0)),
        (halves("LA", (40, 255), (40, 0)), (40,) * 3, (255,) * 3),
        (halves("RGB", (9, 8, 7), (3, 3, 3)).convert("P", palette=1), (9, 8, 7), (3, 3, 3)),
    ],
)
def test_every_mode_becomes_rgb_on_white(image, left, right):
    found = decoded(image)
    assert tuple(found[0, 0]) == left
    assert tuple(found[0, -1]) == right


def test_a_transparent_colour():
    found = decoded(halves("L", 10, 250), transparency=10)
    assert tuple(found[0, 0]) == (255,) * 3
    assert tuple(found[0, -1]) == (250,) * 3


def test_a_transparent_colour_of_16_bits():
    found = decoded(deep(256 * 10, 256 * 200), transparency=256 * 10)
    assert [tuple(pixel) for pixel in found[0]] == [(10,) * 3, (200,) * 3]


def test_cmyk():
    found = decoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)
    assert np.abs(found.astype(int) - (255, 0, 0)).max() < 8


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright(orientation):
    image = Image.fromarray(np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3))
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = decoded(image, exif=exif)
    turned = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }.get(orientation)
    expected = image if turned is None else image.transpose(turned)
    assert np.array_equal(found, np.asarray(expected))


def test_unreadable_metadata_turns_nothing():
    found = decoded(Image.new("RGB", (4, 2), "red"), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert found.shape == (2, 4, 3)


def test_an_animation_is_its_first_frame():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "WEBP", "PNG"):
        options = {"lossless": True} if kind == "WEBP" else {}
        found = decoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert tuple(found[0, 0]) == (255, 0, 0)


@pytest.mark.parametrize("number", [0, 1, 2, 3, None])
def test_the_filter_is_the_model_s_own(number):
    image = Image.effect_noise((300, 200), 80).convert("RGB")
    preprocessor = {} if number is None else {"resample": number}
    found = decoded(image, model=vision(width=90, preprocessor=preprocessor))
    expected = image.resize((90, 60), Image.Resampling(1 if number is None else number))
    assert np.array_equal(found, np.asarray(expected))


@pytest.mark.parametrize("number", ["bicubic", 77, None, -1])
def test_a_filter_that_nobody_knows(number):
    assert resampling_of({"resample": number}) is Image.Resampling.LANCZOS


def test_what_the_model_would_make_enormous():
    with pytest.raises(ImageError, match="too long and narrow"):
        decoded(Image.new("RGB", (9000, 1)), model=vision(preprocessor={"size": 336}))


def test_more_pixels_than_are_taken():
    with pytest.raises(ImageError, match=r"1,001 x 1,000 pixels, more than the 1,000,000"):
        decoded(Image.new("L", (1001, 1000)))


@given(
    st.sampled_from(["JPEG", "PNG", "WEBP", "GIF"]),
    st.lists(st.tuples(st.integers(0, 2000), st.binary(min_size=1, max_size=4)), max_size=8),
    st.integers(0, 2000),
)
def test_damage_is_an_image_or_an_error(kind, changes, cut):
    data = io.BytesIO()
    Image.effect_noise((24, 20), 50).convert("RGB").save(data, kind)
    raw = bytearray(data.getvalue())
    for place, put in changes:
        raw[place % len(raw) : place % len(raw) + len(put)] = put
    if cut < 1000:
        del raw[cut:]
    try:
        pixels = decode(io.BytesIO(raw), LIMITS, vision())
    except ImageError as error:
        assert error.message
    else:
        assert len(pixels.data) == 3 * pixels.width * pixels.height
