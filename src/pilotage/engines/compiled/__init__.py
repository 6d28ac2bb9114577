"""Compiled artifacts: encoders as networks of fixed shapes, one a bucket of lengths and a batch."""
