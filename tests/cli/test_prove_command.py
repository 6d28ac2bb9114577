"""The command line in a report."""

import pytest

from pilotage.cli.prove_command import shown_command


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["prove", "http://a:8000", "--rate", "2/s"], "pilotage prove http://a:8000 --rate 2/s"),
        (["--metrics", "http://u:hush@a/metrics"], "pilotage --metrics 'http://***@a/metrics'"),
        (["--url=https://a/m?key=hush#x"], "pilotage '--url=https://a/m?***'"),
        (["--extra", '{"api_key": "hush"}'], """pilotage --extra '{"api_key": "***"}'"""),
        (
            ["--extra", '{"max_tokens_x": 3, "a": [{"auth": ["hush"]}]}'],
            """pilotage --extra '{"max_tokens_x": 3, "a": [{"auth": ["***"]}]}'""",
        ),
        (['--extra={"token": "hush"}'], """pilotage '--extra={"token": "***"}'"""),
        (["--extra", "hush"], "pilotage --extra '***'"),
    ],
)
def test_it_holds_no_secret(arguments: list[str], shown: str) -> None:
    assert shown_command(arguments) == shown
