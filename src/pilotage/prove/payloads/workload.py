"""From a workload's spec to its payloads."""

from __future__ import annotations

from pilotage.prove.payloads.generated_images import GeneratedImages
from pilotage.prove.payloads.image import ImageSource
from pilotage.prove.payloads.request_format import RequestFormat
from pilotage.prove.payloads.sampled import SampledPrompts, SharedPrefix
from pilotage.spec.workload import WorkloadSpec
from pilotage.tokens import Tokenizer


def for_workload(
    workload: WorkloadSpec,
    request_format: RequestFormat,
    *,
    tokenizer: Tokenizer | None,
    overhead_tokens: int | None = None,
    max_prompt_tokens: int | None = None,
    prefix: SharedPrefix | None = None,
    images: ImageSource | None = None,
) -> SampledPrompts:
    """The payloads that `workload` describes: its lengths and its images.

    Args:
        workload: The spec's section.
        request_format: How prompts become requests.
        tokenizer: The model's; see `SampledPrompts`, as for the rest.
        overhead_tokens: Tokens that the server's template adds.
        max_prompt_tokens: The longest prompt that fits the model.
        prefix: What prompts share.
        images: Instead of generated ones of the workload's size.

    Raises:
        UsageError: No prompt fits, the images are too large, or the API takes none.
    """
    if images is None and workload.images is not None:
        wanted = workload.images
        images = GeneratedImages(wanted.width, wanted.height, per_request=wanted.count)
    return SampledPrompts(
        request_format,
        workload.prompt_tokens,
        workload.completion_tokens,
        tokenizer=tokenizer,
        overhead_tokens=overhead_tokens,
        max_prompt_tokens=max_prompt_tokens,
        prefix=prefix,
        images=images,
    )
