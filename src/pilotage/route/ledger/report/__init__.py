"""What routing cost and saved: read from a ledger, as data, as a page."""

from __future__ import annotations

from pilotage.route.ledger.report.html import html_page
from pilotage.route.ledger.report.read import report
from pilotage.route.ledger.report.result import DayLine, Line, Report, Savings

__all__ = ["DayLine", "Line", "Report", "Savings", "html_page", "report"]
