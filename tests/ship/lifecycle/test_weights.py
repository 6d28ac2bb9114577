"""What tasks' logs say of the weights on their hosts."""

import json
import time

import boto3
from aws_front import REGION, Front, Reply
from life import lifecycle

from pilotage.ship.lifecycle.service import EcsService
from pilotage.ship.lifecycle.weights import weights_on_hosts

SERVICE = "arn:aws:ecs:us-east-1:123456789012:task/pilotage-receipts"
LINE = {"logger": "pilotage.weights", "path": "/models/a", "bytes": 21_340_000_000, "files": 9}


def test_each_task_says_what_lies_on_its_host(front: Front) -> None:
    tasks = [f"{SERVICE}/{name}" for name in ("aaa", "bbb", "ccc")]
    front.answers["ListTasks"] = lambda _: Reply(json.dumps({"taskArns": tasks}))
    logs = boto3.client("logs", region_name=REGION)
    logs.create_log_group(logGroupName="lines")
    now = int(time.time() * 1000)
    for task, texts in {
        "aaa": ["starting", json.dumps(LINE), json.dumps({"logger": "pilotage.access"})],
        "bbb": ['a prompt with "pilotage.weights" in it', json.dumps({**LINE, "bytes": "many"})],
        # The stream of another task, whose name begins with that of one without a stream.
        "cccc": [json.dumps(LINE)],
    }.items():
        stream = f"server/server/{task}"
        logs.create_log_stream(logGroupName="lines", logStreamName=stream)
        logs.put_log_events(
            logGroupName="lines",
            logStreamName=stream,
            logEvents=[{"timestamp": now, "message": text} for text in texts],
        )
    front.asked.clear()
    aws = lifecycle().aws
    service = EcsService(aws, "pilotage-receipts", "server")
    found = weights_on_hosts(aws, service, ["gone", "lines"], container="server")
    assert found == (
        "task aaa: 19.9GiB in 9 file(s), verified, at /models/a",
        "task bbb: its log does not say (yet) what was fetched",
        "task ccc: its log does not say (yet) what was fetched",
    )
    (asked,) = front.of("ListTasks")
    assert (asked["serviceName"], asked["desiredStatus"]) == ("server", "RUNNING")
    # No right but that to read logs and tasks is needed.
    assert set(front.actions()) == {"ListTasks", "DescribeLogStreams", "FilterLogEvents"}
    front.answers["ListTasks"] = lambda _: Reply(json.dumps({"taskArns": []}))
    assert weights_on_hosts(aws, service, ["lines"], container="server") == ("no task runs",)
