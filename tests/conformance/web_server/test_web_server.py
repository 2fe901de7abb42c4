"""What the registry leans on in the web server, beyond what that documents."""

import hashlib
import json
import os
import socket
import sys
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from random import Random

import granian
import pytest

from entrepot.errors import Invalid
from entrepot.web_server import VERSION, require_version
from tests.architecture.program import ROOT
from tests.conformance.web_server.receiver import AHEAD_BYTES
from tests.peers.process import Server, free_port

CHUNK_BYTES = 32 * 1024
"""As Go clients send them: several of them are asked for at a time."""
CHUNKS = 2000
AT_ONCE = 4


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    chosen = free_port()
    server = Server(
        [sys.executable, "-m", "tests.conformance.web_server.receiver", str(chosen)],
        log_path=tmp_path_factory.mktemp("receiver") / "log",
        environment={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    server.start(lambda: _listens(chosen))
    yield chosen
    server.stop()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_pieces_of_a_body_arrive_in_the_order_in_which_they_were_sent(port: int) -> None:
    """Decision 0009: of several that are asked for, each answer is there before that of any later piece."""

    def send(seed: int) -> tuple[dict[str, object], str]:
        chunks = [Random(seed * CHUNKS + number).randbytes(64) * (CHUNK_BYTES // 64) for number in range(CHUNKS)]
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request(
            "POST", "/", body=iter(chunks), headers={"transfer-encoding": "chunked"}, encode_chunked=True
        )
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer, hashlib.sha256(b"".join(chunks)).hexdigest()

    with ThreadPoolExecutor(AT_ONCE) as threads:
        answers = list(threads.map(send, range(AT_ONCE)))

    for answer, digest in answers:
        assert answer["bytes"] == CHUNKS * CHUNK_BYTES
        assert answer["largest"] * 4 <= AHEAD_BYTES, "too few were asked for at a time to prove anything"
        assert answer["sha256"] == digest


def test_version_is_the_one_that_is_installed_and_asked_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert f"granian[uvloop]=={VERSION}" in project["dependencies"]
    assert granian.__version__ == VERSION
    require_version()


def test_another_version_is_not_started() -> None:
    with pytest.raises(Invalid, match=r"Granian 99\.0 is installed, but this program works only with Granian"):
        require_version("99.0")
