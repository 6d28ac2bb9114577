"""Encoders: BERT and its kin."""

from __future__ import annotations

from pilotage.catalog.anatomies.config import Config
from pilotage.catalog.anatomies.grouping import grouped
from pilotage.catalog.anatomies.parts import grouped_attention, linear, plain_mlp
from pilotage.catalog.anatomy import Anatomy


def read_bert(config: Config, name: str) -> Anatomy:
    """BERT, RoBERTa, XLM-RoBERTa and MPNet, with the head that their architecture names."""
    hidden = config.integer("hidden_size")
    heads = config.integer("num_attention_heads")
    positions = config.integer("max_position_embeddings")
    segments = 0 if config.family == "mpnet" else config.integer("type_vocab_size", default=2)
    embedding = (config.integer("vocab_size") + positions + segments) * hidden + 2 * hidden
    buckets = (
        config.integer("relative_attention_num_buckets", default=32) * heads
        if config.family == "mpnet"
        else 0
    )
    return _anatomy(
        config,
        name,
        hidden=hidden,
        heads=heads,
        intermediate=config.integer("intermediate_size"),
        layers=config.integer("num_hidden_layers"),
        positions=positions,
        embedding=embedding,
        pooler=_has_pooler(config),
        other=buckets,
    )


def read_distilbert(config: Config, name: str) -> Anatomy:
    """DistilBERT, with key names of its own and no segments."""
    hidden = config.integer("dim")
    positions = config.integer("max_position_embeddings")
    return _anatomy(
        config,
        name,
        hidden=hidden,
        heads=config.integer("n_heads"),
        intermediate=config.integer("hidden_dim"),
        layers=config.integer("n_layers"),
        positions=positions,
        embedding=(config.integer("vocab_size") + positions) * hidden + 2 * hidden,
        pooler=False,
    )


def _has_pooler(config: Config) -> bool:
    architecture = _architecture(config)
    if "QuestionAnswering" in architecture:
        return False
    is_plain = architecture.endswith("Model") or not architecture
    return is_plain or (config.family == "bert" and "SequenceClassification" in architecture)


def _anatomy(
    config: Config,
    name: str,
    *,
    hidden: int,
    heads: int,
    intermediate: int,
    layers: int,
    positions: int,
    embedding: int,
    pooler: bool,
    other: int = 0,
) -> Anatomy:
    attention = grouped_attention(
        hidden, heads, heads, hidden // heads, qkv_bias=True, out_bias=True
    )
    return Anatomy(
        name=name,
        family=config.family,
        hidden=hidden,
        vocab=config.integer("vocab_size"),
        context_length=positions,
        layers=grouped([(attention, plain_mlp(hidden, intermediate), 4 * hidden)] * layers),
        embedding_parameters=embedding,
        head_parameters=_head(config, hidden),
        other_parameters=other + (linear(hidden, hidden, bias=True) if pooler else 0),
        encoder=True,
    )


def _head(config: Config, hidden: int) -> int:
    """What the task adds: two logits a token, or labels from one vector."""
    architecture = _architecture(config)
    if "QuestionAnswering" in architecture:
        return linear(hidden, 2, bias=True)
    if "SequenceClassification" not in architecture:
        return 0
    labels = config.data.get("id2label")
    count = len(labels) if isinstance(labels, dict) else 2
    before = 0 if config.family == "bert" else linear(hidden, hidden, bias=True)
    return before + linear(hidden, count, bias=True)


def _architecture(config: Config) -> str:
    return next(iter(config.words("architectures")), "")
