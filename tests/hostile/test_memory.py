"""Bodies that are held whole, and requests that are never finished, by the hundred: others find room beside them."""

import os
import select
import socket
import struct
from contextlib import ExitStack
from pathlib import Path

from entrepot.connections import PIECE_BYTES
from entrepot.http.bodies import BYTES_PER_NETWORK_MAX
from entrepot.oci.manifest import MANIFEST_BYTES_MAX
from tests.hostile.crowd import eventually
from tests.hostile.http2 import RST_STREAM, WINDOW_UPDATE, HTTP2Connection, frame, request_fields
from tests.hostile.target import OCI_MANIFEST, Target, push_image
from tests.hostile.wire import Connection
from tests.peers.entrepot import Entrepot
from tests.peers.process import descendants

REPOSITORY = "hostile/memory"
ANNOUNCED = [("Content-Type", OCI_MANIFEST), ("Content-Length", str(MANIFEST_BYTES_MAX))]
UNFINISHED = b" " * (MANIFEST_BYTES_MAX - 1)
SHARE = BYTES_PER_NETWORK_MAX // MANIFEST_BYTES_MAX
CANCEL = struct.pack(">I", 8)


def _is_answered(connection: Connection) -> bool:
    return bool(select.select([connection._socket], [], [], 0)[0])


def test_one_address_has_its_share_of_memory_for_bodies(tmp_path: Path) -> None:
    with Entrepot(tmp_path, workers=1) as server:
        target = Target(server)
        image = push_image(target, REPOSITORY)
        path = f"/v2/{REPOSITORY}/manifests/large"
        head = target.request("PUT", path, ANNOUNCED, b"", close=False)
        with ExitStack() as stack:
            connections = [stack.enter_context(target.connect()) for _ in range(SHARE + 4)]
            for connection in connections:
                connection.send(head + UNFINISHED)
            eventually(lambda: any(map(_is_answered, connections)), "all of them are held")
            (answer, *_) = (connection.answer() for connection in connections if _is_answered(connection))
            assert answer is not None
            assert (answer.status, answer.json["errors"][0]["code"]) == (429, "TOOMANYREQUESTS")
            assert answer.header("retry-after") == "5"
            # What nearly all manifests are goes on, at this address and at others.
            assert target.push_manifest(REPOSITORY, "small", image.payload).status == 201
            with socket.create_connection(("127.0.0.1", target.port), 60, ("127.0.0.2", 0)) as other:
                padding = b" " * (1024 * 1024)
                headers = [("Content-Type", OCI_MANIFEST)]
                other.sendall(target.request("PUT", path, headers, image.payload + padding))
                assert other.recv(12) == b"HTTP/1.1 201"
        # They are gone, and so is what they held.
        eventually(
            lambda: target.push_manifest(REPOSITORY, "large", image.payload.ljust(MANIFEST_BYTES_MAX)).status == 201,
            "what was held is held still",
        )


def test_one_address_has_its_share_of_requests_over_http2(tmp_path: Path) -> None:
    """Each costs memory, however few the connections are that carry them."""
    share = 20
    config = f"[server]\nconnections_per_address = {share}\n"
    with Entrepot(tmp_path, workers=1, config=config) as server, HTTP2Connection(server.port) as connection:
        target = Target(server)
        fields = [*request_fields("POST", "/token"), ("content-length", "1000")]
        own = request_fields("GET", "/v2/", target.authorization)
        unfinished = [connection.open(fields, end=False) for _ in range(share)]
        # It is not the order in which they were sent that the web server begins them in.
        assert connection.ask(own).status in {200, 429}
        unfinished.append(connection.open(fields, end=False))
        eventually(lambda: connection.ask(own).status == 429, "there is no limit")
        assert b"TOOMANYREQUESTS" in connection.ask(own).body
        # Over other connections, and once some of them are over, there is an answer.
        assert target.ask("GET", "/v2/").status == 200
        for stream in unfinished[:2]:
            connection.send(frame(RST_STREAM, 0, stream, CANCEL))
        eventually(lambda: connection.ask(own).status == 200, "none is over")
        assert f"127.0.0.1 has {share} requests" in server.log_path.read_text()


def test_answers_that_nobody_takes_are_not_held_whole(tmp_path: Path) -> None:
    """Neither large manifests nor the files of blobs: a client opens streams, and takes 64 KiB of each."""
    streams = 150
    with Entrepot(tmp_path, workers=1) as server, HTTP2Connection(server.port) as connection:
        target = Target(server)
        image = push_image(target, REPOSITORY)
        large = image.payload.ljust(MANIFEST_BYTES_MAX)
        assert target.push_manifest(REPOSITORY, "large", large).status == 201
        blob = target.push_blob(REPOSITORY, b"large" * 2_000_000)
        family = descendants(server.server.pid)
        before = sum(map(_memory, family))

        manifest = request_fields("GET", f"/v2/{REPOSITORY}/manifests/large", target.authorization)
        file = request_fields("GET", f"/v2/{REPOSITORY}/blobs/{blob}", target.authorization)
        begun = [connection.open(fields) for _ in range(streams // 2) for fields in (manifest, file)]
        eventually(lambda: sum(_files(pid, "/blobs/") for pid in family) == streams // 2, "the blobs are not sent")
        assert target.ask("GET", "/v2/").status == 200
        assert sum(map(_memory, family)) - before < streams * 16 * PIECE_BYTES
        # Who takes them gets them whole.
        for stream, content in ((begun[0], large), (begun[1], b"large" * 2_000_000)):
            connection.send(frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", 2**30)))
            answer = connection.answer(stream)
            assert (answer.status, answer.body) == (200, content)


def _memory(pid: int) -> int:
    """Resident, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _files(pid: int, part: str) -> int:
    """How many files with this in their path are open."""
    opened = 0
    for file in Path(f"/proc/{pid}/fd").iterdir():
        try:
            opened += part in str(file.readlink())
        except FileNotFoundError:
            continue  # Closed meanwhile.
    return opened
