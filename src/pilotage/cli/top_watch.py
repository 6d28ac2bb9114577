"""Looks at a server once an interval, in a thread, and hands over what it finds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import httpx
import msgspec

from pilotage.cli.top_figures import Figures, figures
from pilotage.cli.top_reading import Reading, read_metrics
from pilotage.devices.host import Host
from pilotage.devices.use import DeviceUse, NeuronMonitor, cuda_use
from pilotage.errors import TargetError, UsageError
from pilotage.prove.server_side.look import NotMetricsError
from pilotage.prove.server_side.watch import MAX_BODY_BYTES, metrics_url
from pilotage.units import printable

_TIMEOUT_S = 3.0
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """What one look brought: figures, or why there are none.

    Attributes:
        at: When, on `time.monotonic`'s clock.
        figures: What happened since the look before.
        error: Why there are none.
        final: Whether asking again is of no use.
    """

    at: float
    figures: Figures | None = None
    error: TargetError | None = None
    final: bool = False


class Watch:
    """Asks for the metrics. Close it.

    Args:
        url: The server, with or without ``/v1``.
        key: The API key to present, if any.
        key_name: Where it comes from, for messages.

    Raises:
        UsageError: The address or the key cannot be used.
    """

    def __init__(self, url: str, *, key: str | None, key_name: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(
                f"{printable(url)!r} is not an http:// or https:// address", where="--url"
            )
        if key and not (key.isascii() and key.isprintable()):
            raise UsageError("the API key holds characters that no key has", where=key_name)
        self._url = metrics_url(url)
        self._key_name = key_name
        self._local = parts.hostname in _LOOPBACK
        self._http = httpx.Client(
            timeout=_TIMEOUT_S,
            headers={"authorization": f"Bearer {key}"} if key else {},
            trust_env=not self._local,
        )
        self._before: Reading | None = None
        self._host = Host()
        self._monitor: NeuronMonitor | None = None

    def close(self) -> None:
        """Close the connection and end what was started."""
        self._http.close()
        if self._monitor is not None:
            self._monitor.close()

    def look(self) -> Moment:
        """Ask once. What goes wrong is part of the answer."""
        try:
            text = self._ask()
            now = read_metrics(text, time.monotonic())
        except httpx.HTTPError as error:
            # The next reading may be of another process: nothing is to be compared with it.
            self._before = None
            why = printable(str(error) or type(error).__name__)[:200]
            return self._failed(f"the server cannot be reached ({why})")
        except NotMetricsError as error:
            return self._failed(str(error), final=True)
        except TargetError as error:
            self._before = None
            return Moment(at=time.monotonic(), error=error, final=bool(error.hint))
        found = figures(self._before, now, self._uses(now))
        self._before = now
        return Moment(at=now.at, figures=found)

    def _failed(self, message: str, *, final: bool = False) -> Moment:
        error = TargetError(message, where=self._url, hint="Check the address" if final else None)
        return Moment(at=time.monotonic(), error=error, final=final)

    def _ask(self) -> str:
        body = bytearray()
        with self._http.stream("GET", self._url) as response:
            status = response.status_code
            if status in (401, 403):
                raise TargetError(
                    f"the server wants another API key (HTTP {status})",
                    where=self._url,
                    hint=f"Put one into the environment variable {self._key_name}",
                )
            if status == httpx.codes.NOT_FOUND:
                raise TargetError(
                    "the server has no metrics there (HTTP 404)",
                    where=self._url,
                    hint="Check the address",
                )
            if status != httpx.codes.OK:
                raise TargetError(f"the server answered HTTP {status}", where=self._url)
            for piece in response.iter_bytes():
                body += piece
                if len(body) > MAX_BODY_BYTES:
                    raise NotMetricsError(f"the answer is longer than {MAX_BODY_BYTES >> 20} MiB")
        return body.decode("utf-8", "replace")

    def _uses(self, now: Reading) -> dict[str, Mapping[int, DeviceUse]]:
        """What drivers say, if the server is on this machine and has such devices."""
        kinds = {
            device.partition(":")[0]
            for device in now.values("pilotage_worker_device_info", "device")
        }
        uses: dict[str, Mapping[int, DeviceUse]] = {}
        if self._local and "cuda" in kinds:
            uses["cuda"] = cuda_use(self._host)
        if self._local and "neuron" in kinds:
            if self._monitor is None:
                self._monitor = NeuronMonitor()
            uses["neuron"] = self._monitor.latest()
        return uses


class Looking(threading.Thread):
    """Looks once an interval until it is told to stop.

    Args:
        watch: Looks.
        interval_s: Seconds between two looks.
        tell: Called with each moment, in this thread.
    """

    def __init__(self, watch: Watch, interval_s: float, tell: Callable[[Moment], None]) -> None:
        super().__init__(name="top", daemon=True)
        self._watch = watch
        self._interval_s = interval_s
        self._tell = tell
        self._stopped = threading.Event()

    def run(self) -> None:
        """See `threading.Thread`."""
        while not self._stopped.is_set():
            began = time.monotonic()
            try:
                moment = self._watch.look()
            except RuntimeError:  # the client was closed under it
                if self._stopped.is_set():
                    return
                raise
            if self._stopped.is_set():
                return
            self._tell(moment)
            self._stopped.wait(max(0.0, began + self._interval_s - time.monotonic()))

    def stop(self) -> None:
        """No further look."""
        self._stopped.set()
