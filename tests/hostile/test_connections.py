"""Connections that hold a place and do nothing with it; and slow ones that are in earnest."""

import os
import re
import socket
import sqlite3
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.crowd import Begin, eventually, held, in_tls, saying, silently, still_open
from tests.hostile.http2 import END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, block, frame, request_fields
from tests.hostile.target import Image, Target, push_image, sha256
from tests.peers.certificate import Certificate
from tests.peers.entrepot import Entrepot
from tests.peers.process import Server, descendants

REPOSITORY = "hostile/connections"
FILES_MAX = 1200
"""What a worker may open, which gives it room for 344 connections."""
CROWD = 400
"""More than a worker has room for."""
BIG_BYTES = 8 * 1024 * 1024
"""More than the kernel keeps for a client that does not read."""
SECONDS_OF_PATIENCE = 2
SECONDS_SLOW = 4 * SECONDS_OF_PATIENCE
PATIENCE = f"""
[server]
header_timeout_seconds = {SECONDS_OF_PATIENCE}
body_idle_seconds = {SECONDS_OF_PATIENCE}
answer_idle_seconds = {SECONDS_OF_PATIENCE}
"""


class SmallEntrepot(Entrepot):
    """One worker with little room."""

    def _build_server(self) -> Server:
        server = super()._build_server()
        server.command = ["prlimit", f"--nofile={FILES_MAX}:{FILES_MAX}", *server.command]
        return server


@pytest.fixture(scope="module")
def small_target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    config = f"{PATIENCE}connections_per_address = 0\n"
    with SmallEntrepot(tmp_path_factory.mktemp("small"), workers=1, config=config) as server:
        yield Target(server)
    server.remove_data()


@pytest.fixture(scope="module")
def small_image(small_target: Target) -> Image:
    return push_image(small_target, REPOSITORY)


@pytest.fixture(scope="module")
def big_blob(small_target: Target) -> bytes:
    content = os.urandom(BIG_BYTES)
    small_target.push_blob(REPOSITORY, content)
    return content


def _blob_path(content: bytes) -> str:
    return f"/v2/{REPOSITORY}/blobs/{sha256(content)}"


# The service goes on.


@pytest.mark.parametrize(
    "words",
    [b"", b"P", PREFACE, PREFACE + frame(SETTINGS, 0, 0)],
    ids=["nothing", "half-a-preface", "preface", "http2-without-a-request"],
)
def test_connections_that_ask_for_nothing_give_way(small_target: Target, small_image: Image, words: bytes) -> None:
    _give_way(small_target, small_image, saying(words), "silent")


def test_connections_that_do_not_read_give_way(small_target: Target, small_image: Image, big_blob: bytes) -> None:
    words = small_target.request("GET", _blob_path(big_blob), close=False)

    _give_way(small_target, small_image, saying(words), "stalled")


def test_connections_that_open_no_window_give_way(small_target: Target, small_image: Image, big_blob: bytes) -> None:
    """Over HTTP/2 a client can read all there is, and still take nothing of the answer."""
    fields = block(request_fields("GET", _blob_path(big_blob), small_target.authorization))
    window = frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0))

    words = PREFACE + window + frame(HEADERS, END_HEADERS | END_STREAM, 1, fields)

    _give_way(small_target, small_image, saying(words), "stalled")


def test_connections_that_read_too_slowly_give_way(small_target: Target, small_image: Image, big_blob: bytes) -> None:
    words = small_target.request("GET", _blob_path(big_blob), close=False)

    def begin(made: socket.socket) -> socket.socket:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        made.sendall(words)
        return made

    with held(small_target.port, 10, begin) as sockets:

        def read_and_look() -> bool:
            for one in sockets:
                try:
                    one.recv(20)
                except ConnectionResetError:
                    pass
            return still_open(sockets) == 0

        eventually(read_and_look, "a few bytes now and then keep a connection for ever")


def test_connections_that_stop_after_the_handshake_give_way(tmp_path: Path, certificate: Certificate) -> None:
    config = f"{PATIENCE}connections_per_address = 0\n"
    with SmallEntrepot(tmp_path, workers=1, config=config, certificate=certificate) as server:
        with held(server.port, CROWD, in_tls(certificate.client_context())) as sockets:
            with server.client() as client:
                assert client.get("/v2/").status_code == 200
            eventually(lambda: still_open(sockets) == 0, "connections without a request are kept")
        # And those that do not even finish it.
        with held(server.port, CROWD, silently) as sockets:
            with server.client() as client:
                assert client.get("/v2/").status_code == 200
            eventually(lambda: still_open(sockets) == 0, "connections without a handshake are kept")


def test_connections_that_fill_the_server_have_to_say_soon_what_they_want(tmp_path: Path) -> None:
    """Otherwise the next one would wait for longer than this test does."""
    config = "[server]\nheader_timeout_seconds = 60\nconnections_per_address = 0\n"
    with SmallEntrepot(tmp_path, workers=1, config=config) as server:
        target = Target(server)
        with held(target.port, CROWD, silently):
            assert target.ask("GET", "/v2/").status == 200


def _give_way(target: Target, image: Image, begin: Begin, reason: str) -> None:
    before = _ended(target, reason)
    with held(target.port, CROWD, begin) as sockets:
        answer = target.ask("GET", f"/v2/{image.repository}/manifests/{image.tag}")
        assert (answer.status, answer.body) == (200, image.payload)
        eventually(lambda: still_open(sockets) == 0, "connections that do nothing are kept")
    eventually(lambda: _ended(target, reason) - before >= CROWD, "the connections are not counted")
    assert target.is_alive()
    assert target.new_defects() == []


def _ended(target: Target, reason: str) -> int:
    text = target.ask("GET", "/metrics").body.decode()
    found = re.search(rf'^entrepot_connections_ended_total{{reason="{reason}"}} (\d+)', text, re.MULTILINE)
    return int(found[1]) if found else 0


# So many of one address.


def test_one_address_has_its_share_of_connections(tmp_path: Path) -> None:
    share, workers = 40, 2
    config = f'[server]\nconnections_per_address = {share}\ntrusted_proxies = ["127.0.0.3"]\n'
    with Entrepot(tmp_path, workers=workers, config=config) as server:
        target = Target(server)
        location = target.start_upload(REPOSITORY)
        with (
            held(target.port, 100, silently, source="127.0.0.3") as of_proxy,
            target.connect() as upload,
            held(target.port, 200, silently) as sockets,
        ):
            upload.send(target.request("PATCH", location, [("Content-Length", "5")], b"hel"))
            eventually(lambda: still_open(sockets) <= share, "one address has all the connections it wants")
            # Others, the same one, and what it has in hand.
            with socket.create_connection(("127.0.0.1", target.port), 60, ("127.0.0.2", 0)) as other:
                other.sendall(target.request("GET", "/healthz"))
                assert other.recv(12) == b"HTTP/1.1 200"
            assert target.ask("GET", "/v2/").status == 200
            upload.send(b"lo")
            answer = upload.answer()
            assert answer is not None
            assert answer.status == 202
            assert still_open(of_proxy) == 100
        assert _ended(target, "crowded") >= 200 - share
        assert "127.0.0.1 has " in server.log_path.read_text()


# What looking at a process's files must leave alone.


def test_locks_of_the_database_are_still_held(small_target: Target) -> None:
    """A process that closes a file it has opened twice loses its locks on it; SQLite counts on them."""
    held_before = _locks(small_target)
    assert held_before
    before = _ended(small_target, "silent")
    with held(small_target.port, 1, silently) as sockets:
        eventually(lambda: still_open(sockets) == 0, "nobody looks")
    eventually(lambda: _ended(small_target, "silent") > before, "nobody looks")

    assert _locks(small_target) >= held_before


def _locks(target: Target) -> set[tuple[str, int]]:
    """Files of the data directory that a process of the server has locked, with the process's number."""
    inodes = {path.stat().st_ino: path.name for path in target.data.iterdir() if path.is_file()}
    ours = descendants(target.server.server.pid)
    found = set()
    for process, inode in re.findall(r" (\d+) \w+:\w+:(\d+) ", Path("/proc/locks").read_text()):
        if int(process) in ours and int(inode) in inodes:
            found.add((inodes[int(inode)], int(process)))
    return found


# Slow ones that are in earnest.


def test_push_that_is_slow_is_taken(small_target: Target) -> None:
    content = os.urandom(SECONDS_SLOW * 10_000)
    location = small_target.start_upload(REPOSITORY)
    with small_target.connect() as connection:
        path = f"{location}?digest={sha256(content)}"
        connection.send(small_target.request("PUT", path, [("Content-Length", str(len(content)))]))
        for start in range(0, len(content), 5000):
            connection.send(content[start : start + 5000])
            time.sleep(0.5)
        answer = connection.answer()
    assert answer is not None
    assert answer.status == 201


@pytest.mark.parametrize("span", ["", "bytes=1-"], ids=["file", "range"])
def test_pull_that_is_slow_is_served(small_target: Target, big_blob: bytes, span: str) -> None:
    headers = [("Range", span)] if span else []
    wanted = big_blob[1:] if span else big_blob
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        slow.connect(("127.0.0.1", small_target.port))
        slow.sendall(small_target.request("GET", _blob_path(big_blob), headers))
        received = b""
        for _ in range(SECONDS_SLOW * 2):
            received += slow.recv(5000)
            time.sleep(0.5)
        assert len(received) < len(wanted)
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024 * 1024)
        rest = bytearray()
        while piece := slow.recv(1024 * 1024):
            rest += piece
    assert (received + rest).partition(b"\r\n\r\n")[2] == wanted


def test_client_that_waits_for_the_server_is_answered(small_target: Target, small_image: Image) -> None:
    """The database is locked for longer than any client may be silent."""
    database = sqlite3.connect(small_target.data / "entrepot.db", isolation_level=None, check_same_thread=False)
    database.execute("BEGIN IMMEDIATE")
    freeing = threading.Timer(SECONDS_SLOW, database.rollback)
    freeing.start()
    try:
        answer = small_target.push_manifest(small_image.repository, "late", small_image.payload)
    finally:
        freeing.join()
        database.close()
    assert answer.status == 201
