"""AWS, as the lifecycle asks it: clients of one region, and whose account it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from pilotage.errors import UsageError
from pilotage.ship.lifecycle.aws_errors import explained

_INSTALL: Final = "Install it with: pip install 'pilotage[aws]'"


class Aws:
    """Clients of one region, made as they are needed.

    ``AWS_ENDPOINT_URL`` and the other variables of boto3 hold.

    Args:
        region: Such as "us-east-1".

    Raises:
        UsageError: boto3 is missing, or its configuration cannot be used.
    """

    def __init__(self, region: str) -> None:
        try:
            import boto3  # noqa: PLC0415 - an extra
            from botocore.config import Config  # noqa: PLC0415
        except ImportError:
            raise UsageError(
                "shipping to AWS needs boto3, which is not installed", hint=_INSTALL
            ) from None
        self.region = region
        # Reads are asked again by themselves; so are writes, each of which names what it makes.
        self._config = Config(
            retries={"total_max_attempts": 5, "mode": "standard"},
            connect_timeout=10,
            read_timeout=60,
            user_agent_extra="pilotage",
        )
        self._clients: dict[str, Any] = {}
        with explained(region):
            self._session = boto3.session.Session(region_name=region)

    def client(self, service: str) -> Any:
        """The client of a service, by boto3's name."""
        if service not in self._clients:
            with explained(self.region):
                self._clients[service] = self._session.client(service, config=self._config)
        return self._clients[service]

    def call(self, service: str, method: str, /, **arguments: Any) -> dict[str, Any]:
        """One call.

        Raises:
            PilotageError: It failed.
        """
        with explained(self.region):
            answer: dict[str, Any] = getattr(self.client(service), method)(**arguments)
        return answer

    def try_call(
        self, service: str, method: str, /, *codes: str, **arguments: Any
    ) -> dict[str, Any] | None:
        """One call; None where AWS answers with one of these codes.

        Raises:
            PilotageError: It failed with another.
        """
        from botocore.exceptions import ClientError  # noqa: PLC0415 - an extra

        from pilotage.ship.lifecycle.aws_errors import code_of  # noqa: PLC0415

        with explained(self.region):
            try:
                answer: dict[str, Any] = getattr(self.client(service), method)(**arguments)
            except ClientError as error:
                if code_of(error) in codes:
                    return None
                raise
        return answer

    def pages(self, service: str, method: str, key: str, /, **arguments: Any) -> Iterator[Any]:
        """Everything under ``key`` of all pages of a call.

        Raises:
            PilotageError: A page could not be had.
        """
        with explained(self.region):
            for page in self.client(service).get_paginator(method).paginate(**arguments):
                yield from page.get(key) or ()

    def check_identity(self, account: str | None) -> str:
        """Who we are; the id of the account.

        Args:
            account: That the deployment must go to; any if None.

        Raises:
            CredentialsError: There are none, or they are not accepted.
            UsageError: It is another account.
        """
        found = str(self.call("sts", "get_caller_identity")["Account"])
        if account is not None and found != account:
            raise UsageError(
                f"these are credentials of the account {found}, and the deployment goes to "
                f"{account}",
                where="shipping.account",
                hint="Take another AWS_PROFILE, or change shipping.account",
            )
        return found
