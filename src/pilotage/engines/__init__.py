"""Engines: what turns token ids into more token ids, behind one small interface."""
