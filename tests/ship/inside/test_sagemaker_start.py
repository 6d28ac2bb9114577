"""The entrypoint as SageMaker starts it: "IMAGE serve", all else in variables."""

import os
import stat
import subprocess
import sys

PROGRAM = """#!{python}
import pathlib, sys
if sys.argv[1] == "serve":
    print(sys.argv[3:], pathlib.Path(sys.argv[2]).read_text())
"""


def test_serve_is_no_flag_and_the_spec_comes_in_pieces(tmp_path):
    program = tmp_path / "pilotage"
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    call = (
        "import os, sys; from pilotage.ship.inside.fetch_then_serve import main;"
        f"sys.exit(main(sys.argv[1:], os.environ, {str(program)!r}))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", call, "serve"],
        check=False,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PILOTAGE_SPEC_YAML": "name: rec",
            "PILOTAGE_SPEC_YAML_2": "eip",
            "PILOTAGE_SPEC_YAML_3": "ts",
            "PILOTAGE_SERVE_ARGUMENTS": "--port 8080 --dtype fp8",
        },
        timeout=30,
    )
    _weights, served = ran.stdout.splitlines()
    assert served == "['--port', '8080', '--dtype', 'fp8'] name: receipts", ran.stderr
