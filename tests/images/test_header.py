import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pilotage.images import ImageError, read_header
from pilotage.images.header import check_scans


def encoded(kind, size=(40, 30), mode="RGB", **options) -> bytes:
    data = io.BytesIO()
    Image.new(mode, size).save(data, kind, **options)
    return data.getvalue()


SAMPLES = [
    ("JPEG", encoded("JPEG")),
    ("JPEG", encoded("JPEG", progressive=True)),
    ("JPEG", encoded("JPEG", mode="CMYK", icc_profile=bytes(100_000), comment=b"\xff\xc0" * 50)),
    ("PNG", encoded("PNG")),
    ("PNG", encoded("PNG", mode="I;16")),
    ("WebP", encoded("WEBP")),
    ("WebP", encoded("WEBP", lossless=True)),
    ("WebP", encoded("WEBP", exif=b"Exif\0\0")),
    ("WebP", encoded("WEBP", mode="RGBA")),
    ("GIF", encoded("GIF")),
    ("GIF", encoded("GIF", comment=b"x" * 1000)),
]


@pytest.mark.parametrize(("kind", "data"), SAMPLES)
def test_kind_and_size(kind, data):
    header = read_header(io.BytesIO(data))
    assert (header.kind, header.width, header.height) == (kind, 40, 30)


@pytest.mark.parametrize("size", [(1, 1), (16383, 1), (1, 16383), (257, 511)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_sizes(kind, size):
    for options in ({}, {"lossless": True}) if kind == "WEBP" else ({},):
        header = read_header(io.BytesIO(encoded(kind, size, **options)))
        assert (header.width, header.height) == size


def test_an_animation_is_its_first_frame():
    frames = [Image.new("P", (8, 8), n) for n in range(3)]
    data = io.BytesIO()
    frames[0].save(data, "GIF", save_all=True, append_images=frames[1:])
    assert read_header(data).width == 8


@pytest.mark.parametrize(("kind", "data"), SAMPLES)
def test_what_is_cut_off(kind, data):
    for length in range(24):
        with pytest.raises(ImageError):
            read_header(io.BytesIO(data[:length]))
    assert kind


@given(st.sampled_from(SAMPLES), st.lists(st.tuples(st.integers(0, 600), st.binary(max_size=3))))
def test_damage_is_an_image_or_an_error(sample, changes):
    data = bytearray(sample[1])
    for place, put in changes:
        data[place : place + len(put)] = put
    try:
        header = read_header(io.BytesIO(data))
    except ImageError as error:
        assert error.message
    else:
        assert header.width > 0 and header.height > 0


@given(st.binary(max_size=200))
def test_any_bytes(data):
    with pytest.raises(ImageError):
        read_header(io.BytesIO(data))


def test_jpegs_of_many_scans():
    progressive = encoded("JPEG", progressive=True)
    header = read_header(io.BytesIO(progressive))
    assert header.progressive
    check_scans(io.BytesIO(progressive), header)
    # Cut where a block of reading ends, so that a mark lies across it.
    scan = b"\xff\xda" + struct.pack(">H", 8) + bytes(6)
    bomb = progressive[:-2] + bytes((1 << 18) - len(progressive) + 1) + scan * 70
    with pytest.raises(ImageError, match="scans"):
        check_scans(io.BytesIO(bomb), header)
