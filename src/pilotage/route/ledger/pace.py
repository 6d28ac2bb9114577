"""How a ledger is written: its intervals and bounds, and how it stands."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How the writer goes about it.

    Attributes:
        batch_s: How long rows are collected before they are written together.
        batch_rows: The most rows of a transaction.
        refresh_s: How often the spend of other gateways is read.
        fold_s: How often rows that are too old are looked for.
        fold_rows: From how many rows on their requests are folded in one transaction.
        memory_rows: Rows in memory beyond which they are spilled to disk.
        most_rows: Rows in memory beyond which, with the disk refusing as well, they are lost.
        retry_s: The first pause after a failure; it doubles.
        most_retry_s: The longest one.
    """

    batch_s: float = 0.02
    batch_rows: int = 2000
    refresh_s: float = 2.0
    fold_s: float = 600.0
    fold_rows: int = 500
    memory_rows: int = 50_000
    most_rows: int = 1_000_000
    retry_s: float = 0.1
    most_retry_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerState:
    """How the writing stands.

    Attributes:
        pending: Attempts that were taken and are not in the database yet.
        spilled: Of these, in the spill file.
        lost: Attempts given up, because neither database nor disk nor memory had room.
        failing: The database refuses just now.
    """

    pending: int
    spilled: int
    lost: int
    failing: bool
