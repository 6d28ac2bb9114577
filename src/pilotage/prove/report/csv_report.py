"""``requests.csv``: a row a request, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from pilotage.prove.record import Record
from pilotage.prove.report.files import write_file

_FIELDS = tuple(name for name in Record.__struct_fields__ if name not in ("gaps", "text"))
_DERIVED = ("send_delay_s", "ttft_s", "tpot_s", "e2e_s")

# A spreadsheet takes a cell that begins like this for a formula, and error messages are written
# by whoever runs the server (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def write_requests_csv(records: Sequence[Record], path: Path) -> Path:
    """Write every request with its derived latencies; texts only where they were kept.

    Raises:
        UsageError: The file cannot be written there.
    """
    texts = ("text",) if any(record.text is not None for record in records) else ()
    columns = (*_FIELDS, *_DERIVED, *texts)
    rows = ([getattr(record, name) for name in columns] for record in records)
    return write_file(path, csv_text(columns, rows))


def csv_text(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV: nothing for None, numbers exact, texts safe to open in a spreadsheet."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([_safe(name) for name in head])
    writer.writerows([_safe(value) for value in row] for row in rows)
    return buffer.getvalue()


def _safe(value: object) -> object:
    if isinstance(value, float):
        # Nanoseconds are enough, and 0.30000000000000004 - 0.1 is no news to anyone.
        return repr(round(value, 9))
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
