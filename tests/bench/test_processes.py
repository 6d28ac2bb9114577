import os
import sys
import time

import psutil
import pytest
from bench.processes import BusyError, StartError, free_port, get, keeping_to, server, sole_bench

from bench import processes

SERVER = """
import http.server, subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
class Ok(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"ready")
    def log_message(self, *args): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Ok).serve_forever()
"""


def test_a_server_is_ready_inside_and_gone_with_its_children_after():
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    command = [sys.executable, "-c", SERVER, str(port)]
    with server("test-server", command, ready_url=url, ready_timeout_s=20) as process:
        assert get(url) == b"ready"
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children()]
        assert len(family) == 2
    deadline = time.monotonic() + 5
    while any(p.is_running() and p.status() != "zombie" for p in family):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert get(url) is None


def test_a_server_that_ends_shows_its_last_words():
    command = [sys.executable, "-c", "print('no such model'); raise SystemExit(3)"]
    with (
        pytest.raises(StartError, match=r"exit code 3:\nno such model"),
        server("test-ends", command, ready_url="http://127.0.0.1:9/", ready_timeout_s=20),
    ):
        pass


def test_a_server_that_never_gets_ready_is_given_up():
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with (
        pytest.raises(StartError, match=r"not ready after 0\.3 s"),
        server("test-hangs", command, ready_url="http://127.0.0.1:9/", ready_timeout_s=0.3),
    ):
        pass


def test_cores_are_given_back():
    before = os.sched_getaffinity(0)
    one = min(before)
    with keeping_to([one]):
        assert os.sched_getaffinity(0) == {one}
    assert os.sched_getaffinity(0) == before


def test_two_benches_do_not_measure_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "RESULTS", tmp_path / "results")
    with sole_bench(), pytest.raises(BusyError, match="another bench is running"), sole_bench():
        pass
    with sole_bench():
        pass
