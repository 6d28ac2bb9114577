"""Images that a request names by their address.

Whoever may send requests would otherwise choose what the server connects to. So nothing is
fetched but from hosts that the operator has named (``serving.images.url_hosts``), at every hop of
a redirect, and the guard of `pilotage.fetch.http` refuses private addresses and plain http for
those hosts too, unless ``PILOTAGE_FETCH_ALLOW`` allows them.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Final

from pilotage.errors import SourceError
from pilotage.fetch.http import Allowance, Follow, Guard, HttpClient, Timeouts, Url
from pilotage.images import ImageError, ImageLimits
from pilotage.serve.images.spool import Spool
from pilotage.serve.images.upload import Upload

_MAX_REDIRECTS: Final = 3
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_BLOCK: Final = 1 << 18


class UrlImages:
    """Fetches images from some hosts. Safe to use from many threads.

    Args:
        hosts: The hosts; one that begins with a dot stands for every name below it.
        timeout_s: Longest time for one image, seconds.
        client: Makes the calls; by default one with the guard described above.
        spool: Has room for what is fetched; None is no bound.
    """

    def __init__(
        self,
        hosts: Collection[str],
        timeout_s: float,
        client: HttpClient | None = None,
        spool: Spool | None = None,
    ) -> None:
        self._spool = spool
        names = (host.lower().removesuffix(".") for host in hosts)
        self._hosts = Allowance(frozenset(names))
        self._timeout_s = timeout_s
        self._client = client or HttpClient(
            Guard(Allowance.from_environment()),
            timeouts=Timeouts(connect_s=timeout_s, idle_s=timeout_s, head_s=timeout_s),
            connections=4,
        )

    def fetch(self, address: str, limits: ImageLimits) -> Upload:
        """The file at an address; the caller closes it. Blocks.

        Raises:
            ImageError: The address is not allowed, or the image could not be had.
            SpoolFull: There is no room for it.
        """
        until = time.monotonic() + self._timeout_s
        upload = Upload(limits, self._spool)
        try:
            self._follow(Url.parse(address), upload, limits, until)
        except BaseException as error:
            upload.close()
            if isinstance(error, SourceError):
                # Without its hint, which is for who runs the server.
                raise ImageError(error.message, where=error.where) from None
            raise
        return upload

    def close(self) -> None:
        """Close the idle connections."""
        self._client.close()

    def _follow(self, url: Url, upload: Upload, limits: ImageLimits, until: float) -> None:
        for _ in range(_MAX_REDIRECTS + 1):
            self._check(url)
            onward = self._read(url, upload, limits, until)
            if onward is None:
                return
            url = url.join(onward)
        raise ImageError(f"{url.host} redirects more than {_MAX_REDIRECTS} times")

    def _check(self, url: Url) -> None:
        if not self._hosts.hosts:
            raise ImageError(
                "this server fetches no images by their address",
                hint="Send the image itself, as a data: URL",
            )
        if not self._hosts.names(url.host):
            raise ImageError(
                f"{url.host} is not among the hosts from which this server fetches images",
                hint="Send the image itself, as a data: URL",
            )

    def _read(self, url: Url, upload: Upload, limits: ImageLimits, until: float) -> str | None:
        """Read what is there into `upload`; or where it says that it is."""
        with self._client.get(url, {"Accept": "image/*"}, follow=Follow.NONE) as answer:
            if answer.head.status in _REDIRECTS:
                return answer.head.headers.get("Location") or ""
            if answer.total is not None and answer.total > limits.max_bytes:
                raise limits.too_long()
            buffer = memoryview(bytearray(_BLOCK))
            while count := answer.body.readinto(buffer):
                upload.add(buffer[:count])
                upload.flush()  # before the buffer is used again
                if time.monotonic() > until:
                    raise ImageError(f"{url.host} sends it too slowly")
        return None
