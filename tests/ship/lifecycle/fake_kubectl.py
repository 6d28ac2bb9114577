"""A stand-in for kubectl and a cluster: objects in a JSON file, in kubectl's words.

It keeps what the lifecycle relies on: get by label, server-side apply with its record of who
manages what, dry run, delete, rollouts, logs. Files beside it say what goes wrong: ``broken`` (a
rollout to one of these numbers of replicas fails), ``error`` (what every command
says), ``secrets`` (those that are there), ``log`` (further lines, a list for each time that logs
are followed).
"""

# ruff: noqa: T201 - it is a command, and prints
from __future__ import annotations

import json
import os
import sys

HERE = os.path.dirname(__file__)  # noqa: PTH120 - it starts hundreds of times: few imports
STORE = "objects.json"
GROUPS = {
    "Deployment": ("deployments", "apps/v1"),
    "Service": ("services", "v1"),
    "ServiceAccount": ("serviceaccounts", "v1"),
    "ConfigMap": ("configmaps", "v1"),
    "PersistentVolumeClaim": ("persistentvolumeclaims", "v1"),
    "Pod": ("pods", "v1"),
    "HorizontalPodAutoscaler": ("horizontalpodautoscalers", "autoscaling/v2"),
    "PodDisruptionBudget": ("poddisruptionbudgets", "policy/v1"),
    "NetworkPolicy": ("networkpolicies", "networking.k8s.io/v1"),
    "ScaledObject": ("scaledobjects", "keda.sh/v1alpha1"),
    "ServiceMonitor": ("servicemonitors", "monitoring.coreos.com/v1"),
    "PodMonitor": ("podmonitors", "monitoring.coreos.com/v1"),
    "PrometheusRule": ("prometheusrules", "monitoring.coreos.com/v1"),
    "InferenceService": ("inferenceservices", "serving.kserve.io/v1beta1"),
    "LLMInferenceService": ("llminferenceservices", "serving.kserve.io/v1alpha1"),
}


def main(arguments: list[str]) -> int:  # noqa: PLR0912 - a branch a verb
    objects = json.loads(read(STORE) or "{}")
    write("calls.jsonl", json.dumps(arguments) + "\n", "a")
    if said := read("error"):
        print(said, file=sys.stderr)
        return 1
    verb = arguments[0]
    if verb == "api-resources":
        unknown = read("unknown").split()
        for kind, (name, api) in GROUPS.items():
            if kind not in unknown:
                print(f"{name}   xx   {api}   true   {kind}")
    elif verb == "config":
        print("test-cluster")
    elif verb == "apply":
        done = []
        for wanted in json.load(sys.stdin)["items"]:
            key = f"{wanted['kind'].lower()}/{wanted['metadata']['name']}"
            done.append(applied(objects.get(key), wanted))
            if "--dry-run=server" not in arguments:
                objects[key] = done[-1]
        print(json.dumps(done[0] if len(done) == 1 else {"kind": "List", "items": done}))
    elif verb == "get":
        get(arguments, objects)
    elif verb == "delete":
        objects.pop(plain(arguments[1]), None)
    elif verb == "rollout" and arguments[1] == "status":
        found = objects[plain(arguments[2])]["spec"]
        if str(found.get("replicas")) in read("broken").split():
            print("error: deployment exceeded its progress deadline", file=sys.stderr)
            return 1
    elif verb == "logs":
        logs(arguments)
    write(STORE, json.dumps(objects))
    return 0


def get(arguments: list[str], objects: dict[str, object]) -> None:
    what = arguments[1]
    if what == "namespace":
        print("" if "namespace" in read("unknown") else f"namespace/{arguments[2]}", end="")
    elif what == "secret":
        wanted = [one for one in arguments[2:] if not one.startswith("-")]
        there = read("secrets") or " ".join(wanted)
        print("\n".join(f"secret/{one}" for one in wanted if one in there.split()))
    elif "-l" in arguments:
        name, value = arguments[arguments.index("-l") + 1].split("=")
        plural = {one.partition(".")[0] for one in what.split(",")}
        kinds = {kind for kind, (many, _) in GROUPS.items() if many in plural}
        items = [
            one
            for one in objects.values()
            if one["metadata"].get("labels", {}).get(name) == value and one["kind"] in kinds
        ]
        print(json.dumps({"items": items}))
    else:
        wanted = [plain(one) for one in arguments[1:] if "/" in one]
        there = [objects[one] for one in wanted if one in objects]
        if len(wanted) > 1 and there:
            print(json.dumps({"kind": "List", "items": there}))
        elif there:
            print(json.dumps(there[0]))


def applied(before: dict | None, wanted: dict) -> dict:
    """What a server makes of it: its own fields, and the record of what was applied."""
    after = json.loads(json.dumps(wanted))
    if before is not None and "replicas" in before.get("spec", {}):
        after.setdefault("spec", {}).setdefault("replicas", before["spec"]["replicas"])
    after["metadata"]["creationTimestamp"] = "2026-11-22T10:00:00Z"
    after["metadata"]["generation"] = 1 + (before or {}).get("metadata", {}).get("generation", 0)
    after["metadata"]["managedFields"] = [
        {"manager": "kube-controller-manager", "operation": "Update", "fieldsV1": {}},
        {"manager": "pilotage", "operation": "Apply", "fieldsV1": fields(wanted)},
    ]
    after["status"] = {"readyReplicas": after.get("spec", {}).get("replicas", 0)}
    if "InferenceService" in wanted["kind"]:
        ready = read("ready").strip() or "True"
        after["status"] = {
            "url": "http://gateway.example/default/x",
            "observedGeneration": after["metadata"]["generation"],
            "conditions": [{"type": "Ready", "status": ready, "reason": "Loading"}],
        }
    return after


def fields(value: object) -> dict:
    if not isinstance(value, dict):
        return {}
    mine = ("apiVersion", "kind", "name", "namespace")
    return {f"f:{key}": fields(inner) for key, inner in value.items() if key not in mine}


def plain(what: str) -> str:
    kind, _, name = what.partition("/")
    return f"{kind.partition('.')[0]}/{name}"


def read(name: str) -> str:
    try:
        with open(f"{HERE}/{name}") as file:  # noqa: PTH123
            return file.read()
    except FileNotFoundError:
        return ""


def write(name: str, text: str, mode: str = "w") -> None:
    with open(f"{HERE}/{name}", mode) as file:  # noqa: PTH123
        file.write(text)


def logs(arguments: list[str]) -> None:
    head = "[pod/{}/server] 2026-11-22T10:00:{}Z {}"
    if "--follow" not in arguments:
        print(head.format("b", "02.5", "ready"))
        print(head.format("a", "00.123456789", "loading the model"))
        return
    write("following", str(os.getpid()))
    import time

    while not (more := json.loads(read("log") or "[]")):
        time.sleep(0.05)
    # What is left is written first: whoever reads the lines may write more at once.
    now = more.pop(0)
    write("log", json.dumps(more))
    print(head.format("b", "02.5", "ready"))  # again: --since-time knows whole seconds
    for second, said in now:
        print(head.format("c", second, said), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
