"""The deployment spec: one page of YAML that every step reads.

``load("receipts.yaml")`` gives a :class:`Deployment`; ``Deployment()`` is the embedded default.
"""

from pilotage.spec.budget import BudgetSpec
from pilotage.spec.deployment import DEFAULT_TTFT_TARGET, Deployment, Portfolio
from pilotage.spec.fields import Section
from pilotage.spec.loader import load, load_file, parse
from pilotage.spec.model import EMBEDDED_SHA256, EMBEDDED_SOURCE, SOURCE_BOUND_FIELDS, ModelSpec
from pilotage.spec.plan_file import (
    PLAN_SCHEMA,
    Percentiles,
    PlanFile,
    PlannedDeployment,
    Predictions,
    read_plan,
)
from pilotage.spec.problems import InvalidSpecError, Problem, find_problems
from pilotage.spec.routing import (
    EstimatorSpec,
    LedgerSpec,
    RoutingSpec,
    RuleSpec,
    VerifierSpec,
)
from pilotage.spec.schema import json_schema
from pilotage.spec.serving import ServingSpec
from pilotage.spec.slo import SloSpec
from pilotage.spec.tiers import BackendSpec, TierPriceSpec, TierSpec
from pilotage.spec.workload import ArrivalsSpec, ImagesSpec, TokensSpec, WorkloadSpec

__all__ = [
    "DEFAULT_TTFT_TARGET",
    "EMBEDDED_SHA256",
    "EMBEDDED_SOURCE",
    "PLAN_SCHEMA",
    "SOURCE_BOUND_FIELDS",
    "ArrivalsSpec",
    "BackendSpec",
    "BudgetSpec",
    "Deployment",
    "EstimatorSpec",
    "ImagesSpec",
    "InvalidSpecError",
    "LedgerSpec",
    "ModelSpec",
    "Percentiles",
    "PlanFile",
    "PlannedDeployment",
    "Portfolio",
    "Predictions",
    "Problem",
    "RoutingSpec",
    "RuleSpec",
    "Section",
    "ServingSpec",
    "SloSpec",
    "TierPriceSpec",
    "TierSpec",
    "TokensSpec",
    "VerifierSpec",
    "WorkloadSpec",
    "find_problems",
    "json_schema",
    "load",
    "load_file",
    "parse",
    "read_plan",
]
