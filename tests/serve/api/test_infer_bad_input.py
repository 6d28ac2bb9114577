"""``POST /infer``: what does not fit, and what is said about it."""

import io
import json
import socket
import struct
import zlib

import psutil
import pytest
from PIL import Image


def picture(kind="PNG", size=(100, 50), **options) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", size, "red").save(data, kind, **options)
    return data.getvalue()


def png(width: int, height: int, rows: bytes = b"") -> bytes:
    """A PNG file that claims to be so large, with a right checksum."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def webp(width: int, height: int) -> bytes:
    """A lossy WebP of 16383 at most, with its frame header rewritten."""
    data = bytearray(picture("WEBP", (16, 16)))
    at = data.index(b"\x9d\x01\x2a") + 3
    data[at : at + 4] = struct.pack("<HH", width, height)
    return bytes(data)


def extended_webp(width: int, height: int) -> bytes:
    size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    chunk = b"VP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + size
    frame = picture("WEBP", (16, 16))[12:]
    body = b"WEBP" + chunk + frame
    return b"RIFF" + struct.pack("<I", len(body)) + body


def gif(width: int, height: int) -> bytes:
    data = bytearray(picture("GIF", (16, 16)))
    data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


def gif_with_large_frame() -> bytes:
    data = bytearray(picture("GIF", (16, 16)))
    at = data.rindex(b",\0\0\0\0\x10\0\x10\0")
    data[at + 5 : at + 9] = struct.pack("<HH", 50_000, 50_000)
    return bytes(data)


def jpeg(width: int, height: int) -> bytes:
    data = bytearray(picture("JPEG", (16, 16)))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


WAV = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0" + struct.pack("<8f", *[float("nan")] * 8)
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'


def infer(gateway, image=None, **fields):
    files = [(name, (None, text)) for name, text in ({"text_prompt": "x"} | fields).items()]
    if image is not None:
        files.append(("image", ("a.png", image, "image/png")))
    return gateway.http.post("/infer", files=files)


def error_of(answer, status=400) -> dict:
    assert answer.status_code == status, answer.text
    return answer.json()["error"]


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (b"", "0 bytes"),
        (SVG, "an SVG drawing"),
        (WAV, "a WAV sound"),
        (struct.pack("<64f", *[float("nan")] * 64), "unknown kind"),
        (b"cat.png", "this is text"),
        (b"<!doctype html><p>", "an HTML page"),
        (b"%PDF-1.7", "a PDF"),
        (b"BM" + bytes(64), "a BMP"),
        (b"\0\0\0\x1cftypavif", "an AVIF"),
        (b"\x89PNG", "cut off within its header"),
        (picture()[:30], "cannot be read"),
        (picture()[:-40], "damaged"),
        (picture("JPEG", (500, 500))[:-500], "damaged"),
        (picture("WEBP")[:-20], "damaged"),
        (picture("GIF", (300, 300))[:-60], "damaged"),
        (picture("JPEG")[:100], "damaged"),
        (png(0, 10), "0 x 10"),
        (png(50_000, 50_000), "50,000 x 50,000"),
        (png(20_000, 20_000), "20,000 x 20,000"),
        (png(2**31 - 1, 2**31 - 1), "2,147,483,647"),
        (webp(16_000, 16_000), "16,000 x 16,000"),
        (extended_webp(50_000, 50_000), "50,000 x 50,000"),
        (gif(50_000, 50_000), "50,000 x 50,000"),
        (gif_with_large_frame(), "50,000 x 50,000"),
        (jpeg(50_000, 50_000), "50,000 x 50,000"),
        (png(1000, 1000, b"\0" * 100), "damaged"),
    ],
)
def test_what_is_no_image_or_too_large(sighted, image, said):
    error = error_of(infer(sighted, image))
    assert (error["code"], error["param"]) == ("invalid_image", "image")
    assert said in error["message"]
    assert len(error["message"]) < 400
    assert sighted.dispatcher.generations == []


def test_the_image_that_is_wrong_is_named(sighted):
    files = [("image", ("a", picture())), ("image", ("b", SVG))]
    answer = sighted.http.post("/infer", data={"text_prompt": "x"}, files=files)
    assert "Image 2: this is an SVG" in error_of(answer)["message"]


@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (1999, 1000), (2000, 1)])
def test_odd_sizes(sighted, size):
    assert infer(sighted, picture(size=size)).status_code == 200
    (image,) = sighted.dispatcher.generations[0].request.images
    assert image.width <= 64 and image.height <= 48
    assert len(image.pixels) == 3 * image.width * image.height


def test_bombs_leave_the_memory_as_it_was(sighted):
    ours = psutil.Process()
    infer(sighted, picture())  # so that a decoder runs
    before = sum(p.memory_info().rss for p in (ours, *ours.children(recursive=True)))
    for bomb in (png(50_000, 50_000), extended_webp(16_000, 16_000), gif(60_000, 60_000)) * 10:
        error_of(infer(sighted, bomb))
    after = sum(p.memory_info().rss for p in (ours, *ours.children(recursive=True)))
    assert after - before < 32 << 20


@pytest.mark.parametrize(
    ("fields", "param", "said"),
    [
        ({"text_prompt": ""}, "text_prompt", "the prompt is empty"),
        ({"text_prompt": "  \n"}, "text_prompt", "empty"),
        ({"max_new_tokens": "0"}, "max_new_tokens", "greater than or equal to 1"),
        ({"max_new_tokens": "-1"}, "max_new_tokens", "greater than or equal to 1"),
        ({"max_new_tokens": "abc"}, "max_new_tokens", "valid integer"),
        ({"max_new_tokens": "1.5"}, "max_new_tokens", "valid integer"),
        ({"max_new_tokens": ""}, "max_new_tokens", "valid integer"),
        ({"max_new_tokens": "1000000000"}, "max_new_tokens", "maximum context length"),
        ({"max_new_tokens": "9" * 5000}, "max_new_tokens", "integer"),
        ({"temperature": "nan"}, "temperature", "input should be"),
        ({"temperature": "inf"}, "temperature", "less than or equal"),
        ({"stream": "perhaps"}, "stream", "boolean"),
        ({"images": "x"}, "images", "did you mean 'image'"),
        ({"prompt": "x"}, "prompt", "did you mean 'text_prompt'"),
        ({"max_tokens": "5"}, "max_tokens", "Unknown parameter 'max_tokens'"),
        ({"n": "2"}, "n", "Unknown"),
        ({"text_prompt": "a <file_sep> b"}, "text_prompt", "stands for an image"),
    ],
)
def test_fields_that_make_no_sense(sighted, fields, param, said):
    error = error_of(infer(sighted, picture(), **fields))
    assert error["param"] == param
    assert said in error["message"]
    assert len(error["message"]) < 600


def test_a_missing_prompt(sighted):
    answer = sighted.http.post("/infer", files={"image": ("a", picture())})
    error = error_of(answer)
    assert (error["param"], error["code"]) == ("text_prompt", "missing_required_parameter")


def test_an_unknown_model(sighted):
    assert error_of(infer(sighted, picture(), model="gpt-9"), 404)["code"] == "model_not_found"


def test_several_prompts(sighted):
    files = [("text_prompt", (None, "a")), ("text_prompt", (None, "b"))]
    assert "more than once" in error_of(sighted.http.post("/infer", files=files))["message"]


def test_a_file_in_a_text_field(sighted):
    answer = sighted.http.post("/infer", files={"text_prompt": ("a.txt", b"hello")})
    assert "is a text field, and a file was sent" in error_of(answer)["message"]


def test_text_that_is_not_utf8(sighted):
    error = error_of(infer(sighted, text_prompt=b"caf\xe9"))
    assert (error["param"], error["message"]) == (
        "text_prompt",
        "'text_prompt' is not UTF-8 text (byte 3).",
    )


def test_too_many_images(sighted):
    files = [("image", ("a", picture()))] * 4
    answer = sighted.http.post("/infer", data={"text_prompt": "x"}, files=files)
    assert "more than the 3 that the model" in error_of(answer)["message"]
    answer = sighted.http.post("/infer", data={"text_prompt": "x"}, files=[*files, files[0]])
    assert "more than 4 images" in error_of(answer)["message"]


def test_an_image_for_a_model_without_eyes(gateway):
    error = error_of(infer(gateway, picture()))
    assert error["param"] == "image"
    assert "No model that is served here takes images" in error["message"]


def test_a_long_image(sighted):
    error = error_of(infer(sighted, picture() + bytes(1_000_000)), 413)
    assert (error["code"], error["param"]) == ("image_too_large", "image")
    assert "1,000,000 bytes" in error["message"]


def test_a_long_text(sighted):
    assert error_of(infer(sighted, text_prompt="x" * 300_000), 413)["code"] == "body_too_large"


@pytest.mark.parametrize(
    ("kind", "status", "said"),
    [
        ("multipart/form-data", 400, "no boundary"),
        ("multipart/form-data; boundary=", 400, "no boundary"),
        (f"multipart/form-data; boundary={'x' * 71}", 400, "no boundary"),
        ("application/json", 415, "send multipart/form-data"),
        ("", 415, "send multipart/form-data"),
    ],
)
def test_other_content_types(sighted, kind, status, said):
    answer = sighted.http.post("/infer", content=b"{}", headers={"content-type": kind})
    assert said in error_of(answer, status)["message"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no part"),
        (b"{}", "malformed"),
        (b"--x\r\n", "ends before"),
        (b"--x--\r\n", "text_prompt"),
        (b'--x\r\nContent-Disposition: form-data; name="text_prompt"\r\n\r\nhello', "ends before"),
        (b"--x\r\nContent-Type: text/plain\r\n\r\nhello\r\n--x--\r\n", "names its field"),
        (b"--x\r\nContent-Disposition: form-data\r\n\r\nhello\r\n--x--\r\n", "names its field"),
        (b"--x\r\n" + b"A: b\r\n" * 100 + b"\r\n", "malformed"),
        (b"--x\r\nA: " + b"b" * 100_000, "malformed"),
        (b"--y\r\n\r\n--y--\r\n", "malformed"),
    ],
)
def test_broken_forms(sighted, body, said):
    answer = sighted.http.post(
        "/infer", content=body, headers={"content-type": "multipart/form-data; boundary=x"}
    )
    assert said in error_of(answer)["message"]


def test_compressed_forms(sighted):
    answer = sighted.http.post(
        "/infer",
        content=b"",
        headers={
            "content-type": "multipart/form-data; boundary=x",
            "content-encoding": "gzip",
        },
    )
    assert error_of(answer, 415)["code"] == "unsupported_media_type"


def test_a_form_that_is_announced_too_long_is_not_read(sighted):
    host, port = sighted.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(
            b"POST /infer HTTP/1.1\r\nHost: x\r\nContent-Length: 6000000\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        )
        received = b""
        while part := connection.recv(65536):
            received += part
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413")
    assert json.loads(body)["error"]["code"] == "body_too_large"


def test_a_client_that_hangs_up_while_sending(sighted):
    host, port = sighted.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(
            b"POST /infer HTTP/1.1\r\nHost: x\r\nContent-Length: 600000\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
            b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
            + bytes(9999)
        )
    assert infer(sighted, picture()).status_code == 200
