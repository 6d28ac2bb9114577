"""Encoders: one pass over the tokens, one tensor as the answer (embeddings, spans, labels)."""
