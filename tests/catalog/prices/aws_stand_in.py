"""AWS for the refresh: moto over HTTP for EC2, and a stand-in for the Price List API.

moto has no Price List API: `PriceListStandIn` speaks the JSON that the Pricing API reference
documents for GetProducts (protocol json 1.1, ``X-Amz-Target: AWSPriceListService.GetProducts``).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def product(attributes: dict[str, str], *, usd: str, unit: str = "Hrs", year: str = "") -> str:
    """A document as the Price List API has them: a string of JSON."""
    terms: dict[str, Any] = {"OnDemand": {"A.JRT": _offer(usd, unit)}}
    if year:
        terms["Reserved"] = {
            "A.ONE": {**_offer(year, unit), "termAttributes": _term("1yr", "No Upfront")},
            "A.ALL": {
                **_offer("0.0000000000", unit),
                "termAttributes": _term("1yr", "All Upfront"),
            },
            "A.THREE": {**_offer("0.1", unit), "termAttributes": _term("3yr", "No Upfront")},
        }
    return json.dumps({"product": {"attributes": attributes}, "terms": terms})


def instance(name: str, **more: str) -> dict[str, str]:
    """Attributes of a shared Linux instance."""
    shared = {
        "instanceType": name,
        "operatingSystem": "Linux",
        "tenancy": "Shared",
        "preInstalledSw": "NA",
        "capacitystatus": "Used",
    }
    return {**shared, **more}


class PriceListStandIn:
    """Answers GetProducts from ``products``, by service code, in pages of two.

    Attributes:
        url: Where it listens.
        asked: The requests so far.
        fail: An error code that every request gets, if set.
    """

    def __init__(self, products: dict[str, list[str]]) -> None:
        self.asked: list[dict[str, Any]] = []
        self.fail: str | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                request = json.loads(self.rfile.read(size))
                assert self.headers["X-Amz-Target"] == "AWSPriceListService.GetProducts"
                outer.asked.append(request)
                if outer.fail:
                    self._send(400, {"__type": outer.fail, "message": "no"})
                    return
                found = products.get(request["ServiceCode"], [])
                at = int(request.get("NextToken", 0))
                answer: dict[str, Any] = {
                    "FormatVersion": "aws_v1",
                    "PriceList": found[at : at + 2],
                }
                if at + 2 < len(found):
                    answer["NextToken"] = str(at + 2)
                self._send(200, answer)

            def _send(self, status: int, data: dict[str, Any]) -> None:
                body = json.dumps(data).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextmanager
    def running(self) -> Iterator[PriceListStandIn]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


def _offer(usd: str, unit: str) -> dict[str, Any]:
    return {
        "priceDimensions": {"D": {"unit": unit, "beginRange": "0", "pricePerUnit": {"USD": usd}}}
    }


def _term(length: str, option: str) -> dict[str, str]:
    return {"LeaseContractLength": length, "OfferingClass": "standard", "PurchaseOption": option}
