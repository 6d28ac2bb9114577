"""After the stack: capacity, healthy targets, a completion; and the last lines where they fail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pilotage.errors import ServeError, TargetError
from pilotage.ship.lifecycle.asking import UnreachableError, await_answer
from pilotage.ship.lifecycle.aws import Aws
from pilotage.ship.lifecycle.balancer import await_healthy
from pilotage.ship.lifecycle.endpoint_of import endpoint_of
from pilotage.ship.lifecycle.log_lines import last_lines, log_groups
from pilotage.ship.lifecycle.options import Options
from pilotage.ship.lifecycle.progress import Note, Say
from pilotage.ship.lifecycle.service import service_in
from pilotage.ship.lifecycle.stack import Stack, StackResource, resources_of
from pilotage.ship.target import Shipment

_FAILURE_LINES: Final = 20
_FAILURE_SINCE_S: Final = 3600.0


def await_service(
    aws: Aws, options: Options, shipment: Shipment, stack: Stack, *, key: str | None, say: Say
) -> bool:
    """Wait for capacity, healthy targets, and a completion; whether one came back.

    Raises:
        UnreachableError: The stack is up, and its address is not reached from here.
        TooLongError: What may still come did not come.
        ServeError: The rollout failed.
        TargetError: It answers with something else than a completion.
    """
    waiting = options.waiting
    held = resources_of(aws, stack)
    service = service_in(aws, held)
    try:
        if service is not None:
            replicas = service.await_capacity(say=say, waiting=waiting)
            if replicas is not None and replicas.desired == 0:
                say(Note(step="completion", text="no replicas are wanted: nothing is asked"))
                return False
            if replicas is not None:
                await_healthy(aws, held, replicas.desired, say=say, waiting=waiting)
        if not options.completion:
            return False
        endpoint = endpoint_of(
            aws, shipment, stack, held, address=options.address, key=key, waiting=waiting
        )
        if endpoint is None:
            return False
        await_answer(endpoint, shipment.deployment.model_name, say=say, waiting=waiting)
    except UnreachableError as error:
        raise UnreachableError(
            f"the stack is up, and its address {error.message}",
            where=error.where,
            hint="An internal load balancer answers within its VPC only: apply again from "
            "there, or with --address of a tunnel or domain, or with --no-completion",
        ) from None
    except (ServeError, TargetError):
        say_lines(aws, held, say=say)
        raise
    return True


def say_lines(aws: Aws, held: Sequence[StackResource], *, say: Say) -> None:
    """The last lines of the replicas, for whoever asks why."""
    service = service_in(aws, held)
    for reason in service.stopped() if service is not None else ():
        say(Note(step="capacity", text=reason, what="stopped task", bad=True))
    groups = log_groups(held)
    for line in last_lines(aws, groups, since_s=_FAILURE_SINCE_S, most=_FAILURE_LINES):
        say(Note(step="stack", text=line.text, what=line.stream, bad=True))
