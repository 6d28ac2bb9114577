"""HTTP for every source: one client, guarded, checked, and without retries of its own."""

from pilotage.fetch.http.answer import Answer, Head
from pilotage.fetch.http.client import HttpClient
from pilotage.fetch.http.connections import Timeouts
from pilotage.fetch.http.failures import StatusError
from pilotage.fetch.http.guard import ALLOW_VARIABLE, Allowance, Guard
from pilotage.fetch.http.headers import ContentRange, ETag
from pilotage.fetch.http.limits import retry_after_s
from pilotage.fetch.http.origin import Address, HttpOrigin
from pilotage.fetch.http.redirects import Follow
from pilotage.fetch.http.trust import trust
from pilotage.fetch.http.url import Url

__all__ = [
    "ALLOW_VARIABLE",
    "Address",
    "Allowance",
    "Answer",
    "ContentRange",
    "ETag",
    "Follow",
    "Guard",
    "Head",
    "HttpClient",
    "HttpOrigin",
    "StatusError",
    "Timeouts",
    "Url",
    "retry_after_s",
    "trust",
]
