"""Scripts that are run for real, by the shell of GitHub's runners."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path

import pytest
from pipeline_cases import scripts, steps, texts

from pilotage.ship.pipeline.commands import told

BASH = ("bash", "--noprofile", "--norc", "-eo", "pipefail")


def program(folder: Path, name: str, text: str) -> None:
    path = folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/usr/bin/env bash\n{text}")
    path.chmod(0o755)


def run(script: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    for name in ("summary", "output"):
        (folder / name).touch()
    return subprocess.run(
        [*BASH, "-c", script],
        cwd=folder,
        env={
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "GITHUB_STEP_SUMMARY": str(folder / "summary"),
            "GITHUB_OUTPUT": str(folder / "output"),
            "RUNNER_TEMP": str(folder),
            **env,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_a_summary_shows_the_output_as_it_is(tmp_path: Path) -> None:
    ran = run(told("Cost", "printf '%s\\n' '```' '# <b>x</b> $(id)'"), tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    shown = (tmp_path / "summary").read_text()
    assert shown == "### Cost\n\n    ```\n    # <b>x</b> $(id)\n"


def test_a_command_that_fails_fails_its_step(tmp_path: Path) -> None:
    assert run(told("Cost", "false"), tmp_path).returncode == 1


GH = """\
case "$2" in
  */deployments\\?environment=receipts\\&per_page=30) printf '%s' "$IDS" ;;
  */statuses) [[ "$2" = */2/* ]] && echo true || echo false ;;
  */deployments/2) echo 0123456789abcdef0123456789abcdef01234567 ;;
esac
"""


@pytest.mark.parametrize(
    ("ids", "sha"),
    [("3\n2\n1\n", "0123456789abcdef0123456789abcdef01234567"), ("3\n1\n", ""), ("", "")],
)
def test_the_last_good_commit_is_that_of_a_deployment_that_succeeded(
    tmp_path: Path, ids: str, sha: str
) -> None:
    program(tmp_path, "gh", GH)
    (find,) = (one["run"] for _, one in steps(texts()["ecs"]) if one.get("id") == "last")
    ran = run(find, tmp_path, GITHUB_REPOSITORY="us/models", ENVIRONMENT="receipts", IDS=ids)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (tmp_path / "output").read_text() == f"sha={sha}\n"


def test_who_cannot_ask_for_deployments_does_not_go_on(tmp_path: Path) -> None:
    program(tmp_path, "gh", "exit 4\n")
    (find,) = (one["run"] for _, one in steps(texts()["ecs"]) if one.get("id") == "last")
    assert run(find, tmp_path, GITHUB_REPOSITORY="us/models", ENVIRONMENT="x").returncode != 0


PILOTAGE = """\
printf '%s\\n' "$*" >> "$RUNNER_TEMP/calls"
case "$2" in
  status) printf '{"address": "%s", "outputs": {"Bucket": "answers"}}' "$ADDRESS" ;;
  render) printf '{"package_key": "pilotage-chatbot-canary/1.zip"}' ;;
esac
"""


def called(folder: Path) -> list[str]:
    return (folder / "calls").read_text().splitlines()


def test_the_proof_asks_the_canary_where_it_is(tmp_path: Path) -> None:
    program(tmp_path, "pilotage", PILOTAGE)
    script = next(one for one in scripts(texts()["ecs"]) if "pilotage prove" in one)
    env = {"SPEC": "a folder/receipts.yaml", "PLAN": "plan.json"}
    ran = run(script, tmp_path, ADDRESS="http://canary.example", **env)
    assert (ran.returncode, ran.stderr) == (0, "")
    status, prove = called(tmp_path)
    assert "--canary --json" in status
    assert prove.startswith("prove a folder/receipts.yaml --url http://canary.example ")


def test_the_certificate_s_name_leads_to_the_canary(tmp_path: Path) -> None:
    program(tmp_path, "pilotage", PILOTAGE)
    program(tmp_path, "getent", 'test "$2" = lb.example; echo "192.0.2.7 STREAM lb.example"\n')
    program(tmp_path, "sudo", 'cat >> "$RUNNER_TEMP/hosts"\n')
    script = next(one for one in scripts(texts()["closed"]) if "pilotage prove" in one)
    env = {"SPEC": "r.yaml", "PLAN": "p.json", "DEPLOYMENT": "receipts"}
    ran = run(script, tmp_path, ADDRESS="https://lb.example", PILOTAGE_HOST="api.example", **env)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (tmp_path / "hosts").read_text() == "192.0.2.7 api.example\n"
    assert "--url https://api.example " in called(tmp_path)[1]


AWS = """\
printf '%s\\n' "$*" >> "$RUNNER_TEMP/calls"
case "$*" in
  *invoke-endpoint-async*) printf 's3://answers/1.out\\ts3://answers/1.error\\n' ;;
  *get-caller-identity*) echo 123456789012 ;;
  *1.out*) [ -f "$RUNNER_TEMP/early" ] && echo "$ANSWER" > "$RUNNER_TEMP/answer.json" ;;
  *1.error*) [ -n "$FAILED" ] ;;
esac
"""


@pytest.mark.parametrize(
    ("answer", "failed", "status"),
    [('{"choices": []}', "", 0), ('{"error": {}}', "", 1), ("", "yes", 1)],
)
def test_an_asynchronous_answer_is_waited_for(
    tmp_path: Path, answer: str, failed: str, status: int
) -> None:
    program(tmp_path, "pilotage", PILOTAGE)
    program(tmp_path, "aws", AWS)
    program(tmp_path, "sleep", 'touch "$RUNNER_TEMP/early"\n')
    script = next(one for one in scripts(texts()["sagemaker-async"]) if "invoke-endpoint" in one)
    env = {"SPEC": "r.yaml", "PLAN": "p.json", "ADDRESS": "", "ANSWER": answer, "FAILED": failed}
    ran = run(script, tmp_path, GITHUB_RUN_ID="7", GITHUB_RUN_ATTEMPT="1", **env)
    assert ran.returncode == status, ran.stderr
    asked = next(one for one in called(tmp_path) if "invoke-endpoint-async" in one)
    assert "--endpoint-name pilotage-receipts-canary" in asked
    assert "--input-location s3://answers/requests/pipeline-7-1.json" in asked


def test_the_function_is_uploaded_under_the_rendered_key(tmp_path: Path) -> None:
    program(tmp_path, "pilotage", PILOTAGE)
    program(tmp_path, "aws", AWS)
    # The real one reads the rendered JSON; pip and zipfile are only noted.
    program(
        tmp_path,
        "python",
        '[ "$1" = -c ] && exec python3 "$@"; printf "%s\\n" "$*" >> "$RUNNER_TEMP/calls"\n'
        "mkdir -p package\n",
    )
    script = next(one for one in scripts(texts()["lambda-bedrock"]) if "put-object" in one)
    ran = run(script, tmp_path, SPEC="chatbot.yaml", ADDRESS="")
    assert (ran.returncode, ran.stderr) == (0, "")
    put = called(tmp_path)[-1]
    assert "--bucket pilotage-123456789012-us-east-1 " in put
    assert "--key pilotage-chatbot-canary/1.zip " in put


KUBECTL = """\
printf '%s\\n' "$*" >> "$RUNNER_TEMP/calls"
[ -n "$REFUSED" ] && exit 1
exec python3 -c "import socket, time
door = socket.create_server(('127.0.0.1', ${5%:*}))
time.sleep(20)"
"""


def tunnelled(folder: Path, *, refused: str = "") -> tuple[int, int]:
    """Port of the tunnel, and how the script ended."""
    program(folder, "kubectl", KUBECTL)
    program(folder, "pilotage", PILOTAGE)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    script = next(one for one in scripts(texts()["kubernetes"]) if "ship smoke" in one)
    script = script.replace("18000", str(port))
    env = {"SPEC": "r.yaml", "PLAN": "p.json", "ADDRESS": "", "REFUSED": refused}
    return port, run(script, folder, **env).returncode


def test_a_tunnel_is_waited_for_and_closed(tmp_path: Path) -> None:
    port, status = tunnelled(tmp_path)
    assert status == 0
    forward, smoke = called(tmp_path)
    there = f"port-forward service/pilotage-receipts-canary {port}:80"
    assert forward == f"--namespace default {there}"
    assert smoke.endswith(f"--canary --count 20 --address http://127.0.0.1:{port}")
    for _ in range(200):
        with socket.socket() as asked:
            if asked.connect_ex(("127.0.0.1", port)) != 0:
                return
        time.sleep(0.05)
    raise AssertionError("the tunnel is still open")


def test_a_tunnel_that_is_refused_is_not_waited_for(tmp_path: Path) -> None:
    _, status = tunnelled(tmp_path, refused="yes")
    assert status != 0
    assert len(called(tmp_path)) == 1
