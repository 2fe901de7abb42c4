"""What the log quotes is as it was for who reads the JSON, and harmless for who reads it on a terminal."""

import json
import logging

import pytest

from entrepot.telemetry.logging import AccessLog, configure
from entrepot.telemetry.terminal import visible

HOSTILE = "a\x1b[2J\x9b31m\u202e\x7f\n"


def test_lines_say_what_was_logged_and_command_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        configure("info")
        try:
            raise ValueError(HOSTILE)
        except ValueError:
            logging.getLogger("test").exception("it is %s, in a file named %s", HOSTILE, "\udc9b")
    finally:
        root.handlers, root.level = before, level

    (line,) = capsys.readouterr().out.splitlines()
    assert visible(line) == line
    assert json.loads(line)["message"] == f"it is {HOSTILE}, in a file named \\udc9b"
    assert HOSTILE in json.loads(line)["exception"]


@pytest.mark.anyio
async def test_lines_of_requests_command_no_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    log = AccessLog(enabled=True)
    log.write({"user_agent": HOSTILE})
    log.write({"user_agent": "docker/29"})
    log.flush()

    first, second = capfd.readouterr().out.splitlines()
    assert visible(first) == first
    assert json.loads(first) == {"user_agent": HOSTILE}
    assert second == '{"user_agent":"docker/29"}'
