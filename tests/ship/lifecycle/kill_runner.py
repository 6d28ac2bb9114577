"""Runs lifecycles in children that are killed at a chosen request; one JSON line a job.

A process of its own without threads, so that it can fork: a child starts at once, and is killed
with SIGKILL right before or right after it sends its n-th request to AWS.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from botocore.httpsession import URLLib3Session  # noqa: E402
from life import Witness, keeping, lifecycle, rendered, shipment  # noqa: E402


def main() -> None:
    # Made before the fork, so that no child has to load the services' models.
    aws = lifecycle().aws
    for service in ("sts", "ec2", "service-quotas", "cloudformation", "ecs", "logs", "ecr",
                    "application-autoscaling", "autoscaling", "elbv2"):  # fmt: skip
        aws.client(service)
    # And what botocore works out at the first call of each kind.
    seen, files = Witness(), keeping(rendered("warm"))
    warm = lifecycle(purge=True)
    warm.apply(shipment(), files, agree=seen.agree, say=seen.say)
    warm.destroy(shipment(), agree=seen.agree, say=seen.say)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            _arm(job["at"], job["when"])
            try:
                _do(job)
            except BaseException as error:  # noqa: BLE001 - the parent is told
                sys.stderr.write(f"{type(error).__name__}: {error}\n")
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(json.dumps(os.waitstatus_to_exitcode(status)) + "\n")
        sys.stdout.flush()


def _arm(at: int, when: str) -> None:
    """Let this process die at its request number ``at``."""
    send, count = URLLib3Session.send, [0]

    def killing(self: object, request: object) -> object:
        count[0] += 1
        if (count[0], "before") == (at, when):
            os.kill(os.getpid(), signal.SIGKILL)
        answer = send(self, request)  # type: ignore[arg-type]
        if (count[0], "after") == (at, when):
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    URLLib3Session.send = killing  # type: ignore[method-assign,assignment]


def _do(job: dict[str, str]) -> None:
    here, seen = lifecycle(), Witness()
    if job["verb"] == "apply":
        files = keeping(rendered(job["topic"]))
        here.apply(shipment(), files, agree=seen.agree, say=seen.say)
    else:
        here.destroy(shipment(), agree=seen.agree, say=seen.say)


if __name__ == "__main__":
    main()
