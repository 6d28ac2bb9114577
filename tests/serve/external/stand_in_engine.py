#!/usr/bin/env python3
"""A stand-in for llama-server: its options, its API and its metrics, and faults on demand.

Everything around it in the tests is real: the supervisor, its keeper, the gateway, the sockets.
It answers with the words of the prompt, one a token. What a prompt contains makes it fail:

- ``CRASH n``: the process ends after n tokens
- ``HANG``: no token comes, for this and for every later request, and no counter moves
- ``SLOW n``: so many milliseconds a token
- ``FAIL``: status 500

The environment of the server says how it starts: ``VLLM_STAND_IN_START_S`` (seconds until it
listens), ``VLLM_STAND_IN_REFUSES`` (it ends at once). Those names get through to it because
engines see variables of such names only.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socketserver
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

HELP = """usage: llama-server
-h,    --help                            print usage and exit
--version                               show version and build info
-m,    --model FNAME                     model path to load
-a,    --alias STRING                    set model name aliases
--host HOST                             ip address to listen, or bind to an UNIX socket if the
                                        address ends with .sock
--port PORT                             port to listen
-c,    --ctx-size N                      size of the prompt context
-np,   --parallel N                      number of server slots
-ngl,  --gpu-layers, --n-gpu-layers N    layers to store in VRAM
-t,    --threads N                       number of CPU threads
-b,    --batch-size N                    logical maximum batch size
--metrics                               enable prometheus compatible metrics endpoint
--no-slots                              hide slots
"""

LOCK = threading.Lock()
COUNTS = {"prompt": 0, "predicted": 0, "processing": 0, "deferred": 0, "cut": 0}
STATE = {"hung": False}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model = "model"

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if not self._may():
            return
        if self.path == "/metrics":
            self._send(200, self._metrics().encode(), "text/plain")
        elif self.path == "/v1/models":
            card = {"id": self.model, "meta": {"n_ctx_train": 512}}
            self._json(200, {"data": [card]})
        else:
            self._json(404, {"error": {"message": "no such route", "code": 404}})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if not self._may():
            return
        if self.path not in ("/v1/chat/completions", "/v1/completions"):
            self._json(404, {"error": {"message": "no such route", "code": 404}})
            return
        text = body.get("prompt") or body["messages"][-1]["content"]
        if "FAIL" in text:
            self._json(500, {"error": {"message": "it failed", "code": 500}})
            return
        if body.get("temperature", 0) > 2:
            error = {"message": "temperature is too high", "type": "invalid_request_error"}
            self._json(400, {"error": error})
            return
        words = [*text.split(), *["more"] * 10_000][: body.get("max_tokens", 16)]
        with LOCK:
            COUNTS["processing"] += 1
        try:
            self._generate(body, text, words)
        except (BrokenPipeError, ConnectionResetError):
            with LOCK:
                COUNTS["cut"] += 1
        finally:
            with LOCK:
                COUNTS["processing"] -= 1

    def _generate(self, body: dict, text: str, words: list[str]) -> None:
        crash = re.search(r"CRASH (\d+)", text)
        slow = re.search(r"SLOW (\d+)", text)
        if "HANG" in text:
            STATE["hung"] = True
        stream = bool(body.get("stream"))
        if stream:
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            self._event({"choices": [{"index": 0, "delta": {"role": "assistant"}}]})
        for number, word in enumerate(words):
            while STATE["hung"]:
                time.sleep(0.05)
            if crash and number >= int(crash[1]):
                os.kill(os.getpid(), signal.SIGKILL)
            if slow:
                time.sleep(int(slow[1]) / 1000)
            with LOCK:  # as engines do: a prompt counts with its first token
                COUNTS["predicted"] += 1
                COUNTS["prompt"] += 0 if number else len(text.split())
            if stream:
                choice = {"index": 0, "delta": {"content": f"{word} "}, "finish_reason": None}
                self._event({"choices": [choice]})
        usage = {"prompt_tokens": len(text.split()), "completion_tokens": len(words)}
        if stream:
            self._event({"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]})
            if (body.get("stream_options") or {}).get("include_usage"):
                self._event({"choices": [], "usage": usage})
            self._chunk(b"data: [DONE]\n\n")
            self._chunk(b"")
        else:
            said = " ".join(words)
            choice = {"index": 0, "text": said, "message": {"role": "assistant", "content": said}}
            choice["finish_reason"] = "length"
            self._json(200, {"model": body["model"], "choices": [choice], "usage": usage})

    def _event(self, value: dict) -> None:
        self._chunk(b"data: " + json.dumps(value).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _may(self) -> bool:
        if self.headers.get("authorization") == f"Bearer {os.environ['LLAMA_API_KEY']}":
            return True
        self._json(401, {"error": {"message": "no key", "code": 401}})
        return False

    def _json(self, status: int, value: dict) -> None:
        self._send(status, json.dumps(value).encode(), "application/json")

    def _send(self, status: int, data: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _metrics(self) -> str:
        with LOCK:
            counts = dict(COUNTS)
        lines = []
        for name, kind, value in (
            ("prompt_tokens_total", "counter", counts["prompt"]),
            ("tokens_predicted_total", "counter", counts["predicted"]),
            ("requests_processing", "gauge", counts["processing"]),
            ("requests_deferred", "gauge", counts["deferred"]),
            ("requests_cut_total", "counter", counts["cut"]),
        ):
            lines += [
                f"# HELP llamacpp:{name} Of the stand-in.",
                f"# TYPE llamacpp:{name} {kind}",
                f"llamacpp:{name} {value}",
            ]
        return "\n".join(lines) + "\n"


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        pass


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    if "--version" in sys.argv:
        sys.stderr.write("version: 1.2.3 (build 9)\n")
        return 0
    if "--help" in sys.argv:
        sys.stdout.write(HELP)
        return 0
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("--model", "--alias", "--host", "--ctx-size", "--parallel"):
        parser.add_argument(name, required=True)
    for name in ("--n-gpu-layers", "--threads"):
        parser.add_argument(name)
    for name in ("--metrics", "--no-slots"):
        parser.add_argument(name, action="store_true")
    options = parser.parse_args()
    say(f"0.00.1 I stand-in: loading {options.model}")
    if "VLLM_STAND_IN_REFUSES" in os.environ:
        say("0.00.2 E stand-in: this model has nine heads")
        return 1
    # As engines do, it has processes of its own, which nobody must leave behind.
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    time.sleep(float(os.environ.get("VLLM_STAND_IN_START_S", "0")))
    Handler.model = options.alias
    Path(options.host).unlink(missing_ok=True)
    with Server(options.host, Handler) as server:
        server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
