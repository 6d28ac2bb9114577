"""The container's health check, against a real server, and how little it loads."""

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from pilotage.ship.inside.check_health import main


class Answers(BaseHTTPRequestHandler):
    """200 for what is ready, 503 for the rest."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health/ready" else 503)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_it_asks_127_0_0_1_and_believes_200_alone() -> None:
    # Bound to IPv4 only: "localhost" could have been ::1.
    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    port = str(server.server_address[1])
    try:
        assert main({"PILOTAGE_PORT": port}) == 0
        assert main({"PILOTAGE_PORT": port, "PILOTAGE_HEALTH_PATH": "/health/startup"}) == 1
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert main({"PILOTAGE_PORT": port}) == 1


@pytest.mark.parametrize("port", ["", "x", "70000", "-1"])
def test_a_wrong_port_is_not_healthy(port: str) -> None:
    assert main({"PILOTAGE_PORT": port}) == 1


def test_it_loads_nothing_heavy() -> None:
    code = (
        "import sys, pilotage.ship.inside.check_health, pilotage.ship.inside.fetch_then_serve; "
        "print(sorted({'pydantic', 'numpy', 'yaml', 'fastapi', 'httpx'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
