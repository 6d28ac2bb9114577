"""Views of a report: JSON, CSV, Markdown, one HTML page, a PNG, and reports side by side."""

from pilotage.prove.report.background import cautions, repeat_text, sections
from pilotage.prove.report.compare import Comparison, compare
from pilotage.prove.report.comparison_views import (
    comparison_csv,
    comparison_html,
    comparison_json,
    comparison_markdown,
    comparison_tables,
    write_comparison,
)
from pilotage.prove.report.csv_report import write_requests_csv
from pilotage.prove.report.facts import Headline, headline, latency_table, summary_table
from pilotage.prove.report.html import html_page
from pilotage.prove.report.json_report import read_report, report_schema, write_json
from pilotage.prove.report.markdown import markdown_page
from pilotage.prove.report.png import write_png
from pilotage.prove.report.table import Cell, Table
from pilotage.prove.report.write import write_all

__all__ = [
    "Cell",
    "Comparison",
    "Headline",
    "Table",
    "cautions",
    "compare",
    "comparison_csv",
    "comparison_html",
    "comparison_json",
    "comparison_markdown",
    "comparison_tables",
    "headline",
    "html_page",
    "latency_table",
    "markdown_page",
    "read_report",
    "repeat_text",
    "report_schema",
    "sections",
    "summary_table",
    "write_all",
    "write_comparison",
    "write_json",
    "write_png",
    "write_requests_csv",
]
