"""``POST /infer``: what fits."""

import io
import json

import pytest
from PIL import Image

from pilotage.images import ImageLimits, VisionInput
from pilotage.prove.payloads.image import Image as ProveImage
from pilotage.prove.payloads.multipart import encode_form
from pilotage.serve.images import ImageLoader

IMAGE_TOKEN_ID = 5  # of <file_sep>


def picture(kind="PNG", size=(100, 50), mode="RGB", colour="red", **options) -> bytes:
    data = io.BytesIO()
    Image.new(mode, size, colour).save(data, kind, **options)
    return data.getvalue()


def submitted(gateway):
    (generation,) = gateway.dispatcher.generations
    return generation.request


def test_a_prompt_and_an_image(sighted):
    answer = sighted.http.post(
        "/infer",
        data={"text_prompt": "What is it?", "max_new_tokens": "3", "temperature": "0"},
        files={"image": ("a.png", picture(), "image/png")},
    )
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert set(body) == {"id", "model", "text", "finish_reason", "usage"}
    assert (body["text"], body["finish_reason"]) == ("Paris is the", "length")
    assert body["usage"]["completion_tokens"] == 3
    request = submitted(sighted)
    assert request.params.temperature == 0
    (image,) = request.images
    assert (image.width, image.height) == (64, 32)
    assert image.pixels == bytes((255, 0, 0)) * (64 * 32)
    assert request.prompt_ids.count(IMAGE_TOKEN_ID) == 1
    text = sighted.tokenizer.decode(request.prompt_ids, skip_special_tokens=False)
    assert "user\n<file_sep>\nWhat is it?<|im_end|>" in text
    assert body["usage"]["prompt_tokens"] == len(request.prompt_ids)


def test_several_images_keep_their_order(sighted):
    colours = ["red", "lime", "blue"]
    files = [("image", (f"{c}.png", picture(colour=c, size=(8, 8)))) for c in colours]
    answer = sighted.http.post("/infer", data={"text_prompt": "x"}, files=files)
    assert answer.status_code == 200
    request = submitted(sighted)
    assert [image.pixels[:3] for image in request.images] == [
        b"\xff\0\0",
        b"\0\xff\0",
        b"\0\0\xff",
    ]
    assert request.prompt_ids.count(IMAGE_TOKEN_ID) == 3


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
@pytest.mark.parametrize("declared", ["image/png", "application/octet-stream", "text/plain"])
def test_the_content_says_what_an_image_is(sighted, kind, declared):
    files = {"image": ("a.dat", picture(kind), declared)}
    answer = sighted.http.post("/infer", data={"text_prompt": "x"}, files=files)
    assert answer.status_code == 200
    assert len(submitted(sighted).images) == 1


def test_a_stream_is_one_of_chat_with_token_counts(sighted):
    sighted.say("Paris is the capital.", a_chunk=1)
    answer = sighted.http.post(
        "/infer",
        data={"text_prompt": "x", "stream": "true"},
        files={"image": ("a.png", picture())},
    )
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    said = "".join(
        choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"]
    )
    assert said == "Paris is the capital."
    assert chunks[-1]["usage"]["completion_tokens"] == 5
    assert {chunk["id"][:6] for chunk in chunks} == {"infer-"}


def test_a_prompt_without_an_image(sighted):
    answer = sighted.http.post("/infer", files={"text_prompt": (None, "Hello?")})
    assert answer.status_code == 200
    assert submitted(sighted).images == ()


def test_a_model_without_eyes_answers_text(gateway):
    assert gateway.http.post("/infer", files={"text_prompt": (None, "x")}).status_code == 200


def test_stop_strings_and_sampling(sighted):
    fields = [("text_prompt", "x"), ("stop", " the"), ("stop", "Rome"), ("top_k", "7")]
    fields += [("top_p", "0.5"), ("seed", "42"), ("model", "smollm2"), ("ignore_eos", "false")]
    answer = sighted.http.post("/infer", files=[(name, (None, text)) for name, text in fields])
    assert answer.json()["text"] == "Paris is"
    params = submitted(sighted).params
    assert (params.top_k, params.top_p, params.seed) == (7, 0.5, 42)


def test_what_the_load_client_sends(sighted):
    image = ProveImage(picture("JPEG"), "image/jpeg")
    fields = {"text_prompt": "x", "model": "smollm2", "max_new_tokens": "2", "stream": "true"}
    body, kind = encode_form(fields, [image, image])
    answer = sighted.http.post("/infer", content=body, headers={"content-type": kind})
    assert answer.status_code == 200
    assert len(submitted(sighted).images) == 2


def test_an_image_longer_than_memory_is_kept_on_disk(start_gateway):

    images = ImageLoader(ImageLimits())
    vision = VisionInput(
        family="test", width=64, height=64, image_token="<file_sep>", preprocessor={"resample": 3}
    )
    gateway = start_gateway(vision=vision, images=images)
    noise = Image.effect_noise((1500, 1500), 90).convert("RGB")
    data = io.BytesIO()
    noise.save(data, "PNG")
    assert len(data.getvalue()) > 2 << 20
    try:
        answer = gateway.http.post(
            "/infer", data={"text_prompt": "x"}, files={"image": ("a.png", data.getvalue())}
        )
    finally:
        images.close()
    assert answer.status_code == 200
    (image,) = submitted(gateway).images
    expected = noise.resize((64, 64), Image.Resampling.BICUBIC).tobytes()
    assert (image.width, image.height, image.pixels) == (64, 64, expected)


def test_it_is_described(sighted):
    document = sighted.get("/openapi.json").json()
    operation = document["paths"]["/infer"]["post"]
    schema = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert schema["required"] == ["text_prompt"]
    assert schema["properties"]["image"]["items"]["format"] == "binary"
    assert schema["properties"]["max_new_tokens"]["type"] == "integer"
