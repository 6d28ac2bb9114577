"""A stand-in for kubectl and a cluster: objects in a JSON file, in kubectl's words.

It keeps what the lifecycle relies on: get by label, server-side apply, dry run, delete, logs.
"""

# ruff: noqa: T201 - it is a command, and prints
from __future__ import annotations

import copy
import json
import sys
from pathlib import Path

STORE = Path(__file__).with_name("objects.json")


def main(arguments: list[str]) -> int:
    objects = json.loads(STORE.read_text()) if STORE.exists() else {}
    with STORE.with_name("calls.jsonl").open("a") as calls:
        calls.write(json.dumps(arguments) + "\n")
    verb = arguments[0]
    if verb == "api-resources":
        print("deployments.apps\nservices\npersistentvolumeclaims\nconfigmaps")
    elif verb == "apply":
        wanted = json.load(sys.stdin)
        key = f"{wanted['kind'].lower()}/{wanted['metadata']['name']}"
        after = copy.deepcopy(wanted)
        after["metadata"]["creationTimestamp"] = "2026-11-22T10:00:00Z"
        after["metadata"]["resourceVersion"] = str(len(objects) + 1)
        after["status"] = {"readyReplicas": wanted.get("spec", {}).get("replicas", 0)}
        if "--dry-run=server" in arguments:
            print(json.dumps(after))
        else:
            objects[key] = after
    elif verb == "get":
        what = arguments[1]
        if "-l" in arguments:
            name, value = arguments[arguments.index("-l") + 1].split("=")
            kinds = {one.partition(".")[0].rstrip("s") for one in what.split(",")}
            items = [
                one
                for one in objects.values()
                if one["metadata"].get("labels", {}).get(name) == value
                and one["kind"].lower() in kinds
            ]
            print(json.dumps({"items": items}))
        elif what in objects:
            print(json.dumps(objects[what]))
    elif verb == "delete":
        objects.pop(arguments[1], None)
    elif verb == "rollout" and STORE.with_name("broken").exists() and arguments[1] == "status":
        print("error: deployment exceeded its progress deadline", file=sys.stderr)
        return 1
    elif verb == "logs":
        print("[pod/a/server] 2026-11-22T10:00:00.123456789Z loading the model")
    STORE.write_text(json.dumps(objects))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
