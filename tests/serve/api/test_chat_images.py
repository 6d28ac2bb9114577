"""Images in ``/v1/chat/completions``."""

import base64
import io
import json

import pytest
from PIL import Image

IMAGE_TOKEN_ID = 5


def picture(kind="PNG", size=(100, 50), colour="red") -> bytes:
    data = io.BytesIO()
    Image.new("RGB", size, colour).save(data, kind)
    return data.getvalue()


def data_url(data: bytes, kind="image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def image_part(url: str, **more) -> dict:
    return {"type": "image_url", "image_url": {"url": url, **more}}


def text_part(text: str) -> dict:
    return {"type": "text", "text": text}


def ask(gateway, *parts, role="user", **fields):
    return gateway.chat(messages=[{"role": role, "content": list(parts)}], **fields)


def error_of(answer, status=400) -> dict:
    assert answer.status_code == status, answer.text
    return answer.json()["error"]


def noise() -> bytes:
    data = io.BytesIO()
    Image.effect_noise((700, 700), 90).save(data, "PNG")
    return data.getvalue()


def test_short_and_long_data_urls(sighted):
    long = noise()
    assert 100_000 < len(long) < 1_000_000
    answer = ask(
        sighted,
        image_part(data_url(picture())),
        text_part("and"),
        image_part(data_url(long, "image/x-anything"), detail="low"),
        text_part("?"),
    )
    assert answer.status_code == 200, answer.text
    request = sighted.dispatcher.generations[0].request
    first, second = request.images
    assert (first.width, first.height, first.pixels[:3]) == (64, 32, b"\xff\0\0")
    assert (second.width, second.height) == (48, 48)
    text = sighted.tokenizer.decode(request.prompt_ids, skip_special_tokens=False)
    assert "user\n<file_sep>\nand\n<file_sep>\n?<|im_end|>" in text


def test_slashes_may_be_escaped(sighted):
    message = {"role": "user", "content": [image_part(data_url(noise()))]}
    body = json.dumps({"model": "smollm2", "messages": [message]}).replace("/", "\\/")
    answer = sighted.post("/v1/chat/completions", content=body)
    assert answer.status_code == 200, answer.text


def test_images_of_several_messages(sighted):
    messages = [
        {"role": "user", "content": [image_part(data_url(picture(colour="lime")))]},
        {"role": "assistant", "content": "Green."},
        {"role": "user", "content": [text_part("And"), image_part(data_url(picture()))]},
    ]
    assert sighted.chat(messages=messages, n=2).status_code == 200
    for generation in sighted.dispatcher.generations:
        green, red = generation.request.images
        assert (green.pixels[:3], red.pixels[:3]) == (b"\0\xff\0", b"\xff\0\0")
        assert generation.request.prompt_ids.count(IMAGE_TOKEN_ID) == 2


def test_invocations_and_token_counts(sighted):
    messages = [{"role": "user", "content": [image_part(data_url(noise())), text_part("x")]}]
    assert sighted.post("/invocations", {"messages": messages}).status_code == 200
    messages[0]["content"][0] = image_part(data_url(picture()))
    answer = sighted.post("/tokenize", {"messages": messages})
    assert answer.json()["tokens"].count(IMAGE_TOKEN_ID) == 1


def test_the_official_client(sighted):
    answer = sighted.openai.chat.completions.create(
        model="smollm2",
        messages=[{"role": "user", "content": [image_part(data_url(noise())), text_part("What?")]}],
    )
    assert answer.choices[0].message.content == "Paris is the capital."


def test_text_only_works_as_ever(sighted):
    assert sighted.chat().status_code == 200
    assert ask(sighted, text_part("data:image/png;base64,")).status_code == 200
    assert sighted.chat(messages=[{"role": "user", "content": "data: " + "x" * 99}]).is_success


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("data:image/png;base64,!!!!", "not base64"),
        ("data:image/png;base64,AAA", "not base64"),
        ("data:image/png;base64,iVBORw0K\nGgo=", "not base64"),
        ("data:image/png;base64,é", "not base64"),
        ("data:image/png,hello", "of the form data:image/png;base64"),
        ("data:image/png;base64,", "0 bytes"),
        (data_url(b"<svg/>", "image/svg+xml"), "an SVG drawing"),
        (data_url(picture()[:-40]), "damaged"),
        ("https://example.com/cat.png", "fetches no images by their address"),
        ("http://169.254.169.254/latest/meta-data", "fetches no images by their address"),
        ("file:///etc/passwd", "not an http(s) URL"),
        ("cat.png", "not an http(s) URL"),
    ],
)
def test_images_that_are_not_taken(sighted, url, said):
    error = error_of(ask(sighted, text_part("x"), image_part(url)))
    assert (error["code"], error["param"]) == ("invalid_image", "messages[0].content[1]")
    assert said in error["message"]
    assert len(error["message"]) < 300


def test_long_ones_that_are_not_base64(sighted):
    good = data_url(noise())
    for bad in (
        good[:50_000] + "!" + good[50_000:],
        good[:60_000] + "=" + good[60_001:],
        good[:-1],
        good[:40_000] + '\\"' + good[40_000:],
    ):
        error = error_of(ask(sighted, image_part(bad)))
        assert error["code"] in {"invalid_image", "invalid_json"}


def test_an_image_that_is_too_long(sighted):
    error = error_of(ask(sighted, image_part(data_url(bytes(1_000_001)))), 413)
    assert error["code"] == "image_too_large"


def test_too_many(sighted):
    four = [image_part(data_url(picture()))] * 4
    assert "more than the 3" in error_of(ask(sighted, *four))["message"]
    five = [image_part(data_url(noise()))] * 5
    assert "more than 4 images" in error_of(ask(sighted, *five))["message"]


@pytest.mark.parametrize("role", ["system", "assistant"])
def test_images_are_for_users(sighted, role):
    error = error_of(ask(sighted, image_part(data_url(picture())), role=role))
    assert (error["param"], error["code"]) == ("messages[0].content[0]", "invalid_value")


def test_a_long_image_where_none_can_be(sighted):
    answer = sighted.chat(messages=[{"role": "user", "content": data_url(noise())}])
    assert "stands elsewhere" in error_of(answer)["message"]


def test_what_would_pass_for_an_image(sighted):
    assert "stands for an image" in error_of(ask(sighted, text_part("<file_sep>")))["message"]
    answer = sighted.chat(messages=[{"role": "system", "content": "a<file_sep>"}])
    assert error_of(answer)["param"] == "messages[0].content"
    assert "place for an image" in error_of(sighted.complete(prompt="<file_sep>"))["message"]
    assert "place for an image" in error_of(sighted.complete(prompt=[1, 5]))["message"]


def test_a_long_body_beside_the_images(sighted):
    answer = ask(sighted, text_part("x" * 300_000))
    assert error_of(answer, 413)["code"] == "body_too_large"


def test_malformed_parts(sighted):
    for part in (
        {"type": "image_url"},
        {"type": "image_url", "image_url": "data:"},
        {"type": "image_url", "image_url": {}},
        {"type": "image_url", "image_url": {"url": ""}},
        {"type": "image_url", "image_url": {"url": "data:", "detail": "huge"}},
    ):
        assert error_of(ask(sighted, part))["param"].startswith("messages[0].content[0]")


def test_a_model_without_eyes(gateway):
    error = error_of(ask(gateway, text_part("x"), image_part(data_url(picture()))))
    assert (error["code"], error["param"]) == ("unsupported_parameter", "messages[0].content[1]")
    assert "reads text only" in error["message"]
