"""Schemas of the fields that we use of custom resources, by hand from their published types.

Closed (no further keys), so a misspelt field fails; not complete, so what is not used is not here.

* ScaledObject: kedacore/keda config/crd/bases/keda.sh_scaledobjects.yaml
* ServiceMonitor, PodMonitor, PrometheusRule: prometheus-operator api.md, monitoring.coreos.com/v1
* InferenceService: kserve pkg/apis/serving/v1beta1 (component.go, and the KEDA page of its docs)
* LLMInferenceService: kserve 0.20, pkg/apis/serving/v1alpha1/llm_inference_service_types.go
* Kustomization: kustomize.config.k8s.io/v1beta1

A pod inside of KServe's resources is checked as a Kubernetes Pod (`kubernetes-validate`), so here
it is open.
"""

from __future__ import annotations

from typing import Any

TEXT = {"type": "string", "minLength": 1}
COUNT = {"type": "integer", "minimum": 0}
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
ANY = {"type": "object"}


def closed(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": properties,
    }


def listed(item: Any, least: int = 1) -> dict[str, Any]:
    return {"type": "array", "items": item, "minItems": least}


RULES = closed(
    ("policies",),
    stabilizationWindowSeconds={"type": "integer", "minimum": 0, "maximum": 3600},
    policies=listed(
        closed(
            ("type", "value", "periodSeconds"),
            type={"enum": ["Pods", "Percent"]},
            value={"type": "integer", "minimum": 1},
            periodSeconds={"type": "integer", "minimum": 1, "maximum": 1800},
        )
    ),
)
ADVANCED = closed(
    horizontalPodAutoscalerConfig=closed(behavior=closed(scaleUp=RULES, scaleDown=RULES))
)
TRIGGER = closed(
    ("type", "metadata"),
    type={"const": "prometheus"},
    name=TEXT,
    metricType={"enum": ["AverageValue", "Value"]},
    # The CRD: all values are texts.
    metadata=closed(
        ("serverAddress", "query", "threshold"),
        serverAddress=TEXT,
        query=TEXT,
        threshold={"type": "string", "pattern": r"^[0-9.]+$"},
        activationThreshold={"type": "string", "pattern": r"^[0-9.]+$"},
        ignoreNullValues={"enum": ["true", "false"]},
    ),
)
ENDPOINT = {
    "path": TEXT,
    "interval": TEXT,
    "scrapeTimeout": TEXT,
    "authorization": closed(
        ("credentials",),
        type={"const": "Bearer"},
        credentials=closed(("name", "key"), name=TEXT, key=TEXT),
    ),
}
METRIC_NAME = {"type": "string", "pattern": "^[a-zA-Z_:][a-zA-Z0-9_:]*$"}
SELECTOR = closed(("matchLabels",), matchLabels=TEXTS)


def resource(spec: dict[str, Any]) -> dict[str, Any]:
    return closed(
        ("apiVersion", "kind", "metadata", "spec"),
        apiVersion=TEXT,
        kind=TEXT,
        metadata=closed(
            ("name", "namespace", "labels"),
            name={"type": "string", "pattern": "^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$"},
            namespace=TEXT,
            labels=TEXTS,
            annotations=TEXTS,
        ),
        spec=spec,
    )


SCHEMAS: dict[tuple[str, str], dict[str, Any]] = {
    ("keda.sh/v1alpha1", "ScaledObject"): resource(
        closed(
            ("scaleTargetRef", "triggers"),
            scaleTargetRef=closed(("name",), apiVersion=TEXT, kind=TEXT, name=TEXT),
            pollingInterval=COUNT,
            cooldownPeriod=COUNT,
            minReplicaCount=COUNT,
            maxReplicaCount=COUNT,
            fallback=closed(
                ("failureThreshold", "replicas"), failureThreshold=COUNT, replicas=COUNT
            ),
            advanced=ADVANCED,
            triggers=listed(TRIGGER),
        )
    ),
    ("monitoring.coreos.com/v1", "ServiceMonitor"): resource(
        closed(
            ("selector", "endpoints"),
            selector=SELECTOR,
            endpoints=listed(closed(("targetPort",), targetPort=COUNT, **ENDPOINT)),
        )
    ),
    ("monitoring.coreos.com/v1", "PodMonitor"): resource(
        closed(
            ("selector", "podMetricsEndpoints"),
            jobLabel=TEXT,
            selector=SELECTOR,
            podMetricsEndpoints=listed(closed(("port",), port=TEXT, **ENDPOINT)),
        )
    ),
    ("monitoring.coreos.com/v1", "PrometheusRule"): resource(
        closed(
            ("groups",),
            groups=listed(
                closed(
                    ("name", "rules"),
                    name=TEXT,
                    rules=listed(
                        {
                            "oneOf": [
                                closed(("record", "expr"), record=METRIC_NAME, expr=TEXT),
                                closed(
                                    ("alert", "expr"),
                                    alert=TEXT,
                                    expr=TEXT,
                                    # The CRD's own pattern is this one, with more units.
                                    **{"for": {"type": "string", "pattern": "^[0-9]+[smhd]$"}},
                                    labels=TEXTS,
                                    annotations=TEXTS,
                                ),
                            ]
                        }
                    ),
                )
            ),
        )
    ),
    ("serving.kserve.io/v1beta1", "InferenceService"): resource(
        closed(
            ("predictor",),
            predictor={
                "type": "object",
                "required": ["minReplicas", "maxReplicas", "containers"],
                "properties": {
                    "minReplicas": COUNT,
                    "maxReplicas": COUNT,
                    "timeout": COUNT,
                    "labels": TEXTS,
                    "deploymentStrategy": ANY,
                    "autoScaling": closed(
                        ("metrics",),
                        metrics=listed(
                            closed(
                                ("type", "external"),
                                type={"const": "External"},
                                external=closed(
                                    ("metric", "target"),
                                    metric=closed(
                                        ("backend", "serverAddress", "query"),
                                        backend={"const": "prometheus"},
                                        serverAddress=TEXT,
                                        query=TEXT,
                                    ),
                                    target=closed(
                                        ("type", "value"),
                                        type={"const": "Value"},
                                        value={"type": "string", "pattern": r"^[0-9.]+$"},
                                    ),
                                ),
                            )
                        ),
                    ),
                },
            },
        )
    ),
    ("serving.kserve.io/v1alpha1", "LLMInferenceService"): resource(
        {
            # The CRD's own rule: a fixed number of replicas, or scaling.
            "oneOf": [{"required": ["replicas"]}, {"required": ["scaling"]}],
            **closed(
                ("model", "template"),
                model=closed(("uri",), uri=TEXT, name=TEXT),
                replicas=COUNT,
                scaling=closed(
                    ("maxReplicas", "keda"),
                    minReplicas={"type": "integer", "minimum": 1},
                    maxReplicas={"type": "integer", "minimum": 1},
                    keda=closed(
                        ("triggers",),
                        pollingInterval=COUNT,
                        cooldownPeriod=COUNT,
                        advanced=ADVANCED,
                        triggers=listed(TRIGGER),
                    ),
                ),
                parallelism=closed(tensor={"type": "integer", "minimum": 1}),
                labels=TEXTS,
                router=closed(gateway=closed(), route=closed(), scheduler=closed()),
                template=ANY,
            ),
        }
    ),
    ("kustomize.config.k8s.io/v1beta1", "Kustomization"): closed(
        ("resources",),
        apiVersion=TEXT,
        kind=TEXT,
        metadata=ANY,
        namespace=TEXT,
        resources=listed(TEXT),
    ),
}
