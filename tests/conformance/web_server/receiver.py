"""An application that says what it received, behind the web server as the registry starts it."""

import hashlib
import json
import sys

from entrepot.http.messages import ASGIScope, Send
from entrepot.http.reception import Receive, pieces
from entrepot.processes import Processes
from entrepot.settings import ServerSettings
from entrepot.web_server import WebServer

AHEAD_BYTES = 256 * 1024
IDLE_SECONDS = 30


async def receiver(scope: ASGIScope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})
        return
    digest, sizes = hashlib.sha256(), []
    body = pieces(
        receive,
        lambda: None,
        announced=None,
        expected=None,
        ahead=lambda: AHEAD_BYTES,
        idle_seconds=IDLE_SECONDS,
        bytes_per_second_min=0,
    )
    async for piece in body:
        digest.update(piece)
        sizes.append(len(piece))
    told = json.dumps({"sha256": digest.hexdigest(), "bytes": sum(sizes), "largest": max(sizes)}).encode()
    headers = [(b"content-length", b"%d" % len(told))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": told})


def main(port: int) -> None:
    server = WebServer(ServerSettings(), "127.0.0.1", port, workers=1, connections_max=100, processes=Processes())
    server.run(lambda: receiver, lambda: None)


if __name__ == "__main__":
    main(int(sys.argv[1]))
