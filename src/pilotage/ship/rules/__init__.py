"""Every hard limit as data: all are held against a rendering before anything leaves the machine.

What generic tools pass (cfn-lint: a start period of 1,200 s, a GPU on Fargate, a negative grace) is
refused here, with the field, the limit and the fix.
"""

from typing import Final

from pilotage.ship.rules.access import ACCESS_RULES
from pilotage.ship.rules.balancing import BALANCING_RULES
from pilotage.ship.rules.capacity import CAPACITY_RULES
from pilotage.ship.rules.endings import CHECK_RULES
from pilotage.ship.rules.kubernetes import KUBERNETES_RULES
from pilotage.ship.rules.ownership import OWNERSHIP_RULES
from pilotage.ship.rules.probes import PROBE_RULES
from pilotage.ship.rules.provided import PROVIDED_RULES
from pilotage.ship.rules.rule import Broken, Rule
from pilotage.ship.rules.sagemaker import SAGEMAKER_RULES
from pilotage.ship.rules.scaling import SCALING_RULES
from pilotage.ship.rules.services import SERVICE_RULES
from pilotage.ship.rules.sizes import SIZE_RULES
from pilotage.ship.rules.tasks import TASK_RULES
from pilotage.ship.rules.terraform import TERRAFORM_RULES
from pilotage.ship.target import Rendered, Shipment

RULES: Final[tuple[Rule, ...]] = (
    *TASK_RULES,
    *CHECK_RULES,
    *SERVICE_RULES,
    *CAPACITY_RULES,
    *SCALING_RULES,
    *BALANCING_RULES,
    *ACCESS_RULES,
    *OWNERSHIP_RULES,
    *SIZE_RULES,
    *SAGEMAKER_RULES,
    *PROVIDED_RULES,
    *KUBERNETES_RULES,
    *PROBE_RULES,
    *TERRAFORM_RULES,
)
"""All rules, by where they look."""


def check_rules(rendered: Rendered, shipment: Shipment) -> list[Broken]:
    """What of a rendering breaks a rule, in the order of `RULES`; empty when nothing does."""
    return [one for rule in RULES for one in rule.check(rendered, shipment)]


__all__ = ["RULES", "Broken", "Rule", "check_rules"]
