"""Views of a plan: JSON, a page for the terminal, one HTML page."""

from pilotage.plan.report.plan_json import plan_json, portfolio_json, to_plan_file
from pilotage.plan.report.wording import label

__all__ = ["label", "plan_json", "portfolio_json", "to_plan_file"]
