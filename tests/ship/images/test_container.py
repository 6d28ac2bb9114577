"""The spec inside the container is a valid one and serves what the outer one promised."""

from dataclasses import replace

from shipments import CAPTIONS, G5, captions, finance, receipts

from pilotage.ship.images import container_spec, image_engine
from pilotage.spec import Deployment, parse
from pilotage.spec.shipping import ImageSpec


def read(text: str) -> Deployment:
    found = parse(text, "spec.yaml")
    assert isinstance(found, Deployment)
    return found


def test_what_is_served_stays_what_it_was() -> None:
    for one in (receipts(), finance(), captions()):
        inner = read(container_spec(one))
        outer = one.deployment
        assert inner.name == outer.name
        assert inner.model == outer.model
        assert inner.slo == outer.slo
        assert inner.serving.request_timeout == outer.serving.request_timeout
        assert inner.serving.max_body == outer.serving.max_body


def test_it_listens_on_the_containers_addresses() -> None:
    inner = read(container_spec(receipts(replace(G5, port=8080))))
    assert (inner.serving.host, inner.serving.port) == ("0.0.0.0", 8080)
    assert inner.serving.log_format == "json"


def test_nothing_of_shipping_budget_or_workload_goes_in() -> None:
    inner = read(container_spec(finance()))
    assert inner.shipping is None
    assert inner.workload is None
    assert inner.budget is None
    assert "arn:aws" not in container_spec(finance())


def test_weights_of_a_copy_keep_the_name_that_clients_know() -> None:
    one = receipts(weights_uri="s3://ours/llama-vision")
    inner = read(container_spec(one))
    assert inner.model.source == "s3://ours/llama-vision"
    assert inner.model.revision is None
    assert inner.model.name == one.deployment.model.name == "Llama-3.2-11B-Vision-Instruct"
    assert inner.model.max_model_len == 4096


def test_the_engine_of_the_image_follows_the_accelerators() -> None:
    assert image_engine(receipts()) == "cuda"
    assert image_engine(captions()) == "neuron"
    bare = replace(G5, gpus=0, engine="openvino")
    assert image_engine(receipts(bare)) == "cpu"
    given = replace(captions(), shipping=captions().shipping.model_copy(
        update={"image": ImageSpec(engine="cpu")}
    ))  # fmt: skip
    assert given.sizing == CAPTIONS
    assert image_engine(given) == "cpu"
