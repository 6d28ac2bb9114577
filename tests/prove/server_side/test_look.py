"""What is read from each server's own text, and what is no metrics at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.prove.server_side.look import Look, NotMetricsError, read_look

VLLM_V1 = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="meta-llama/Llama-3.2-1B-Instruct"} 3.0
vllm:num_requests_running{engine="1",model_name="meta-llama/Llama-3.2-1B-Instruct"} 5.0
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="meta-llama/Llama-3.2-1B-Instruct"} 0.0
vllm:num_requests_waiting{engine="1",model_name="meta-llama/Llama-3.2-1B-Instruct"} 2.0
# TYPE vllm:gpu_cache_usage_perc gauge
vllm:gpu_cache_usage_perc{engine="0",model_name="m"} 0.9
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.75
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="m"} 27453.0
# TYPE vllm:generation_tokens_created gauge
vllm:generation_tokens_created{engine="0",model_name="m"} 1.7e+09
# TYPE vllm:iteration_tokens_total histogram
vllm:iteration_tokens_total_bucket{engine="0",le="1.0",model_name="m"} 3.0
vllm:iteration_tokens_total_bucket{engine="0",le="+Inf",model_name="m"} 2000.0
vllm:iteration_tokens_total_count{engine="0",model_name="m"} 2000.0
vllm:iteration_tokens_total_sum{engine="0",model_name="m"} 60000.0
# TYPE vllm:request_queue_time_seconds histogram
vllm:request_queue_time_seconds_bucket{engine="0",le="0.3",model_name="m"} 40.0
vllm:request_queue_time_seconds_count{engine="0",model_name="m"} 50.0
vllm:request_queue_time_seconds_sum{engine="0",model_name="m"} 7.5
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_count{engine="0",model_name="m"} 50.0
vllm:time_to_first_token_seconds_sum{engine="0",model_name="m"} 12.5
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total 43.5
"""
VLLM_V0 = """\
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{model_name="m"} 1.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{model_name="m"} 4.0
# TYPE vllm:gpu_cache_usage_perc gauge
vllm:gpu_cache_usage_perc{model_name="m"} 0.5
"""
SGLANG = """\
# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{model_name="m",tp_rank="0"} 162.0
sglang:num_running_reqs{model_name="m",tp_rank="1"} 162.0
# TYPE sglang:num_queue_reqs gauge
sglang:num_queue_reqs{model_name="m"} 2826.0
# TYPE sglang:token_usage gauge
sglang:token_usage{model_name="m"} 0.28
# TYPE sglang:generation_tokens_total counter
sglang:generation_tokens_total{model_name="m"} 7.557572e+06
# TYPE sglang:time_to_first_token_seconds histogram
sglang:time_to_first_token_seconds_sum{model_name="m"} 2.35e+06
sglang:time_to_first_token_seconds_count{model_name="m"} 11008.0
# TYPE sglang:queue_time_seconds histogram
sglang:queue_time_seconds_sum{model_name="m"} 100.0
sglang:queue_time_seconds_count{model_name="m"} 50.0
"""
TGI = """\
# TYPE tgi_batch_current_size gauge
tgi_batch_current_size 12
# TYPE tgi_queue_size gauge
tgi_queue_size 3
# TYPE tgi_request_queue_duration histogram
tgi_request_queue_duration_bucket{le="+Inf"} 8
tgi_request_queue_duration_sum 0.4
tgi_request_queue_duration_count 8
# TYPE tgi_request_generated_tokens histogram
tgi_request_generated_tokens_sum 640
tgi_request_generated_tokens_count 8
"""
LLAMACPP = """\
# HELP llamacpp:tokens_predicted_total Number of generation tokens processed.
# TYPE llamacpp:tokens_predicted_total counter
llamacpp:tokens_predicted_total 4242
# HELP llamacpp:kv_cache_usage_ratio KV-cache usage. 1 means 100 percent usage.
# TYPE llamacpp:kv_cache_usage_ratio gauge
llamacpp:kv_cache_usage_ratio 0.63
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing 2
# TYPE llamacpp:requests_deferred gauge
llamacpp:requests_deferred 1
"""
DCGM = """\
# HELP DCGM_FI_DEV_GPU_UTIL GPU utilization (in %).
# TYPE DCGM_FI_DEV_GPU_UTIL gauge
DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="GPU-1",device="nvidia0",modelName="NVIDIA H100 80GB HBM3"} 90
DCGM_FI_DEV_GPU_UTIL{gpu="1",UUID="GPU-2",device="nvidia1",modelName="NVIDIA H100 80GB HBM3"} 70
"""


def numbers(look: Look) -> tuple[object, ...]:
    return look.kind, look.running, look.waiting, look.kv_usage, look.batch_size, look.gpu


def counted(look: Look) -> dict[str, tuple[float, ...]]:
    """Counters, series added up."""
    return {
        what: tuple(map(sum, zip(*series.values(), strict=True)))
        for what, series in look.counted.items()
    }


def test_vllm_engines_are_added_up_and_the_newer_name_of_the_kv_cache_counts() -> None:
    look = read_look(VLLM_V1, 7.0)
    assert look.at == 7.0
    assert numbers(look) == ("vllm", 8.0, 2.0, 0.5, None, None)
    assert counted(look) == {
        "cpu": (43.5,),
        "tokens": (27453.0,),
        "sequences": (27453.0,),
        "steps": (2000.0,),
        "queue": (7.5, 50.0),
        "ttft": (12.5, 50.0),
    }


def test_vllm_with_draft_tokens_does_not_tell_its_batch_size() -> None:
    drafting = VLLM_V1 + 'vllm:spec_decode_num_accepted_tokens_total{engine="0"} 5.0\n'
    look = read_look(drafting, 0.0)
    assert not {"steps", "sequences"} & set(look.counted)
    assert "tokens" in look.counted


def test_vllm_before_version_1() -> None:
    assert numbers(read_look(VLLM_V0, 0.0)) == ("vllm", 1.0, 4.0, 0.5, None, None)


def test_vllm_behind_an_exporter_that_knows_no_colons() -> None:
    assert read_look(VLLM_V1.replace("vllm:", "vllm_"), 0.0) == read_look(VLLM_V1, 0.0)


def test_sglang_ranks_of_one_model_count_once() -> None:
    look = read_look(SGLANG, 0.0)
    assert numbers(look) == ("sglang", 162.0, 2826.0, 0.28, None, None)
    assert counted(look) == {
        "tokens": (7557572.0,),
        "queue": (100.0, 50.0),
        "ttft": (2.35e6, 11008.0),
    }


def test_text_generation_inference() -> None:
    look = read_look(TGI, 0.0)
    assert numbers(look) == ("tgi", 12.0, 3.0, None, 12.0, None)
    assert counted(look) == {"tokens": (640.0,), "queue": (0.4, 8.0)}


def test_llamacpp() -> None:
    look = read_look(LLAMACPP, 0.0)
    assert numbers(look) == ("llamacpp", 2.0, 1.0, 0.63, None, None)
    assert counted(look) == {"tokens": (4242.0,)}


def test_an_exporter_of_gpus_alone() -> None:
    look = read_look(DCGM, 0.0)
    assert look.kind is None
    assert look.gpu == pytest.approx(0.8)


def test_any_server_with_opentelemetrys_names() -> None:
    name = "gen_ai_server_time_to_first_token_seconds"
    look = read_look(f'{name}_sum{{a="b"}} 3\n{name}_count{{a="b"}} 6\n', 0.0)
    assert (look.kind, counted(look)) == (None, {"ttft": (3.0, 6.0)})


def test_values_that_are_no_numbers_are_left_out() -> None:
    text = "llamacpp:requests_processing NaN\nllamacpp:requests_deferred 1\n"
    assert numbers(read_look(text, 0.0))[:3] == ("llamacpp", None, 1.0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not Prometheus text"),
        ("<!doctype html>\n<html>\nbody { margin: 0 }\n</html>", "not Prometheus text"),
        ('{"detail": "Not Found"}', "not Prometheus text"),
        ("vllm:num_requests_running{ 3 } maybe\n", "not Prometheus text"),
        ("vllm:num_requests_running\n", "not Prometheus text"),
        ("go_goroutines 12\n", "none of its metrics are known"),
        ("vllm:num_requests_running NaN\n", "no values"),
        ("vllm:num_requests_running 1\n" * 5001, "5,001 series"),
    ],
)
def test_what_is_no_metrics(text: str, reason: str) -> None:
    with pytest.raises(NotMetricsError, match=reason):
        read_look(text, 0.0)


NAMES = ("vllm:num_requests_running", "process_cpu_seconds_total", "tgi_queue_size", "other")


@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.text(max_size=20))).map(
        lambda lines: "\n".join("".join(line) for line in lines)
    )
)
def test_no_text_breaks_it(text: str) -> None:
    try:
        read_look(text, 0.0)
    except NotMetricsError as error:
        assert str(error)
