"""From what a client sent to the pixels that an engine takes, with nothing done on the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Final

from pilotage.engines.engine import Image
from pilotage.images import ImageError, ImageLimits, VisionInput
from pilotage.serve.images.decoders import Decoders
from pilotage.serve.images.from_url import UrlImages
from pilotage.serve.images.spool import Spool
from pilotage.serve.images.upload import Upload

_FETCHES: Final = 8
_READ_AT_ONCE: Final = 2


class ImageLoader:
    """Decodes and fetches images for a gateway. Starts nothing before it is used.

    Args:
        limits: Which images are taken.
        url_hosts: Hosts from which images are fetched.
        url_timeout_s: Longest time for fetching one, seconds.
        max_held: Bytes that all uploads together may hold.
        decoders: Who decodes; by default processes, as many as suit the machine.

    Attributes:
        limits: See above.
        spool: Counts the bytes that uploads hold.
        turns: Admits the bodies that may go on reading in one iteration of the event loop.
    """

    def __init__(
        self,
        limits: ImageLimits | None = None,
        *,
        url_hosts: Collection[str] = (),
        url_timeout_s: float = 10.0,
        max_held: int = 4 << 30,
        decoders: Decoders | None = None,
    ) -> None:
        self.limits = limits or ImageLimits()
        self.spool = Spool(max_held)
        self.turns = asyncio.Semaphore(_READ_AT_ONCE)
        self._url_hosts = url_hosts
        self._url_timeout_s = url_timeout_s
        self._decoders = decoders or Decoders()

    async def start(self) -> None:
        """Have everything ready before the first image comes; saves it a fifth of a second."""
        await self._decoders.start()

    def upload(self) -> Upload:
        """A place for an image that is about to arrive; the caller closes it."""
        return Upload(self.limits, self.spool)

    async def fetch(self, address: str) -> Upload:
        """The image at an address; the caller closes it.

        Raises:
            ImageError: It is not allowed, or could not be had.
        """
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._fetchers, self._urls.fetch, address, self.limits)
        try:
            async with asyncio.timeout(self._url_timeout_s):
                return await asyncio.shield(work)
        except TimeoutError:
            work.add_done_callback(_forget)
            raise ImageError(
                f"the image could not be fetched within {self._url_timeout_s:g} s"
            ) from None

    async def decode(self, upload: Upload, vision: VisionInput) -> Image:
        """The pixels of an image, as a model looks at it.

        Raises:
            ImageError: It is not taken, or damaged.
        """
        return await self._decoders.decode(upload, self.limits, vision)

    def close(self) -> None:
        """End what was started."""
        self._decoders.close()
        if "_fetchers" in vars(self):
            self._fetchers.shutdown(wait=False)
            self._urls.close()

    @cached_property
    def _fetchers(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(_FETCHES, thread_name_prefix="pilotage-image-urls")

    @cached_property
    def _urls(self) -> UrlImages:
        return UrlImages(self._url_hosts, self._url_timeout_s, spool=self.spool)


def _forget(work: asyncio.Future[Upload]) -> None:
    """Close what came after all."""
    if not work.cancelled() and work.exception() is None:
        work.result().close()
