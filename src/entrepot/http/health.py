"""What an operator's tools ask: alive, ready, counts."""

from entrepot.actions import readiness
from entrepot.http.messages import Request, Response, json_response


async def healthz(request: Request) -> Response:
    return json_response(200, {"status": "alive"})


async def readyz(request: Request) -> Response:
    await readiness.check(request.app)
    return json_response(200, {"status": "ready"})


async def metrics(request: Request) -> Response:
    body = request.app.metrics.exposition()
    headers = [
        (b"content-type", b"text/plain; version=0.0.4; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
    ]
    return Response(200, headers, body)
