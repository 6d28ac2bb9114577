"""Views of a plan: JSON, a page for the terminal, one HTML page."""

from pilotage.plan.report.html import html_page, portfolio_html
from pilotage.plan.report.plan_json import plan_json, portfolio_json, to_plan_file
from pilotage.plan.report.terminal import explanation, portfolio_page, terminal_page
from pilotage.plan.report.wording import label

__all__ = [
    "explanation",
    "html_page",
    "label",
    "plan_json",
    "portfolio_html",
    "portfolio_json",
    "portfolio_page",
    "terminal_page",
    "to_plan_file",
]
