from io import BytesIO
from itertools import islice

import pytest
from PIL import Image as Pillow

from pilotage.errors import UsageError
from pilotage.prove.payloads import GeneratedImages, ImageFolder


def taken(source, count, seed=1):
    return list(islice(source.images(seed=seed), count))


@pytest.mark.parametrize("file_format", ["jpeg", "png"])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (300, 40), (512, 512)])
def test_generated_images_are_images_of_that_size(size, file_format):
    ((image,),) = taken(GeneratedImages(*size, file_format=file_format), 1)
    opened = Pillow.open(BytesIO(image.data))
    opened.load()
    assert opened.size == size
    assert opened.format == file_format.upper()
    assert opened.mode == "RGB"
    assert image.media_type == f"image/{file_format}"


def test_each_is_different_and_as_large_as_a_photograph():
    source = GeneratedImages(256, 256, per_request=2)
    images = [image for request in taken(source, 60) for image in request]
    assert len({image.data for image in images}) == 120
    # Photographs at this quality have 1 to 3 bits a pixel; noise has 6, a flat colour 0.1.
    for image in images[:8]:
        assert 0.8 < len(image.data) * 8 / 256**2 < 4


def test_pixels_differ_not_only_bytes():
    source = GeneratedImages(64, 64, file_format="png")
    pixels = {Pillow.open(BytesIO(image.data)).tobytes() for (image,) in taken(source, 40)}
    assert len(pixels) == 40


def test_seeds():
    assert taken(GeneratedImages(64, 64), 5) == taken(GeneratedImages(64, 64), 5)
    source = GeneratedImages(64, 64)
    assert taken(source, 5, seed=1) == taken(source, 5, seed=1)
    assert not {i for (i,) in taken(source, 9, seed=1)} & {i for (i,) in taken(source, 9, seed=2)}


@pytest.mark.parametrize("size", [(0, 5), (5, -1), (65_536, 2), (10_000, 10_000)])
def test_sizes_that_cannot_be(size):
    with pytest.raises(UsageError, match="image"):
        GeneratedImages(*size)
    with pytest.raises(UsageError, match="at least 1"):
        GeneratedImages(8, 8, per_request=0)


@pytest.fixture
def folder(tmp_path):
    for place, name in enumerate(("a.jpg", "b.JPEG", "c.png", "d.webp", "e.gif")):
        kind = {"jpg": "JPEG"}.get(name[2:], name[2:].upper())
        Pillow.new("RGB", (4, 4), (place, 0, 0)).save(tmp_path / name, kind)
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "folder.png").mkdir()
    return tmp_path


def test_a_folder_goes_round_in_an_order_by_the_seed(folder):
    source = ImageFolder(folder, per_request=2)
    files = {file.read_bytes() for file in folder.glob("?.*")}
    images = [image for request in taken(source, 5) for image in request]
    assert {image.data for image in images[:5]} == files
    assert [image.data for image in images[:5]] == [image.data for image in images[5:]]
    assert {i.media_type for i in images} == {"image/jpeg", "image/png", "image/webp", "image/gif"}
    assert taken(source, 5) == taken(source, 5)
    assert any(taken(source, 5, seed=seed) != taken(source, 5) for seed in range(2, 9))
    assert "5 files, 2 a request" in source.description


def test_folders_that_are_none(tmp_path):
    with pytest.raises(UsageError, match="no images in this folder"):
        ImageFolder(tmp_path)
    with pytest.raises(UsageError, match="cannot be read"):
        ImageFolder(tmp_path / "gone")
    (tmp_path / "fake.jpg").write_text("<html>")
    with pytest.raises(UsageError, match=r"fake\.jpg is no JPEG, PNG, WebP or GIF"):
        ImageFolder(tmp_path)


def test_a_file_that_goes_while_it_runs(folder):
    images = ImageFolder(folder).images(seed=1)
    next(images)
    for file in folder.glob("?.*"):
        file.unlink()
    with pytest.raises(UsageError, match="cannot be read"):
        next(images)
