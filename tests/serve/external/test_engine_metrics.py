"""An engine's metrics under our labels."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from pilotage.serve.external.engine_metrics import counts_of, merged_exposition

VLLM = """\
# HELP python_gc_objects_collected_total Objects
# TYPE python_gc_objects_collected_total counter
python_gc_objects_collected_total{generation="0"} 9
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 2.0
# HELP vllm:num_requests_waiting Waiting
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="m"} 1.0
# HELP vllm:prompt_tokens_total Prompt tokens
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="m"} 37.0
# TYPE vllm:prompt_tokens_created gauge
vllm:prompt_tokens_created{engine="0",model_name="m"} 1.795e+09
# TYPE vllm:ttft histogram
vllm:ttft_bucket{le="0.1",model="its own"} 1.0
vllm:ttft_bucket{le="+Inf",model="its own"} 2.0
vllm:ttft_count{model="its own"} 2.0
vllm:ttft_sum{model="its own"} 0.3
vllm:kv_cache_usage_perc{engine="0"} 0.25
vllm:broken{ 1
vllm:nan NaN
"""


def test_the_numbers_to_steer_by() -> None:
    counts = counts_of(VLLM)
    assert counts is not None
    assert (counts.running, counts.waiting, counts.prompt_tokens) == (5, 1, 37)
    assert counts.kv_cache_usage == 0.25
    assert counts_of("llamacpp:requests_processing 4\n").running == 4  # type: ignore[union-attr]
    assert counts_of("nothing 1\n") is None


def test_two_engines_in_one_exposition() -> None:
    text = merged_exposition([(VLLM, {"model": 'a"b'}), (VLLM, {"model": "c"})]).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert text.count("# TYPE vllm:num_requests_running ") == 1
    running = families["vllm:num_requests_running"].samples
    assert [(s.labels["model"], s.labels["engine"], s.value) for s in running] == [
        ('a"b', "0", 3.0), ('a"b', "1", 2.0), ("c", "0", 3.0), ("c", "1", 2.0),
    ]  # fmt: skip
    ttft = families["vllm:ttft"]
    assert (ttft.type, {s.labels["model"] for s in ttft.samples}) == ("histogram", {'a"b', "c"})
    assert not any("python_gc" in name or "created" in name for name in families)
    assert merged_exposition([]) == b""


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200), st.text(max_size=20))
def test_whatever_an_engine_says_the_result_can_be_read(said: str, model: str) -> None:
    text = VLLM + f'\nvllm:x{{a="{said}"}} 1\n# HELP vllm:x {said}\nvllm:{said} 2\n'
    merged = merged_exposition([(text, {"model": model})]).decode()
    values = [
        sample.value
        for family in text_string_to_metric_families(merged)
        for sample in family.samples
        if sample.name == "vllm:num_requests_running"
    ]
    assert values == [3.0, 2.0]
