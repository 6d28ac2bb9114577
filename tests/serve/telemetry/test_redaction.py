"""What is masked, what is left alone, and that a hostile text costs no time."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.serve.telemetry.redaction import is_secret_name, redact

SECRETS = st.text("abcXYZ019", min_size=20, max_size=43)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plt_abcd1234_" + "x" * 43, "plt_abcd1234_***"),
        ("half a key: plt_abcd1234_xyz.", "half a key: plt_abcd1234_***."),
        ("Authorization: Bearer sk-abc.def", "Authorization: Bearer ***"),
        ("(b'authorization', b'bearer  abc')", "(b'authorization', b'bearer ***')"),
        ("'Authorization': 'Basic Ym9iOnB3'", "'Authorization': 'Basic ***'"),
        ("s3://bob:pw@host:9/x", "s3://***@host:9/x"),
        ("https://token@host", "https://***@host"),
        ("https://bob:p@ss@host/x", "https://***@host/x"),
    ],
)
def test_secrets_are_masked(text, shown):
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "https://host:8000/a/@scope/package?to=a@b",
        "mail bob@example.org",
        "the bearer",
        "plt_short_x",
        "basic inference",
    ],
)
def test_other_text_is_left_alone(text):
    assert redact(text) == text


@given(st.text(), SECRETS, st.text())
def test_no_surrounding_saves_a_key(before, secret, after):
    shown = redact(f"{before}plt_abcd1234_{secret}{after}")
    assert f"_{secret}" not in shown.removeprefix(before)
    assert redact(shown) == shown


def test_secret_names_are_known_in_any_spelling():
    assert is_secret_name("X-API-Key")
    assert is_secret_name("Authorization")
    assert not is_secret_name("key")


@pytest.mark.parametrize(
    "part", ["a", "://", "bearer ", "plt_", "plt_abcd1234_", " ", "a.b-", "authorization"]
)
def test_hostile_text_takes_linear_time(part):
    text = part * (1_000_000 // len(part))
    start = time.perf_counter()
    redact(text)
    assert time.perf_counter() - start < 2
