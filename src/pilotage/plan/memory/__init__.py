"""Memory of a model on a device: the terms, and how many sequences of what length fit."""

from pilotage.plan.memory.accelerator import memory_of, vllm_defaults
from pilotage.plan.memory.cache import image_bytes, sequence_bytes
from pilotage.plan.memory.cpu import memory_of_cpu, openvino_kv_bytes
from pilotage.plan.memory.memory_plan import MemoryPlan
from pilotage.plan.memory.neuron import memory_of_neuron
from pilotage.plan.memory.weights import Weights, bytes_of_rank, weights_of

__all__ = [
    "MemoryPlan",
    "Weights",
    "bytes_of_rank",
    "image_bytes",
    "memory_of",
    "memory_of_cpu",
    "memory_of_neuron",
    "openvino_kv_bytes",
    "sequence_bytes",
    "vllm_defaults",
    "weights_of",
]
