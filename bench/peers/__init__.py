"""The systems that are measured against one another, one file each."""

from bench.peers import engine, fastapi_transformers, llama_cpp_python, pilotage, vllm_cpu
from bench.peers.peer import Peer

ALL: tuple[Peer, ...] = (
    engine.PEER,
    pilotage.PEER,
    llama_cpp_python.PEER,
    fastapi_transformers.PEER,
    vllm_cpu.PEER,
)
"""In the order of their letters."""
