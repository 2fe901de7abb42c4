"""What an operator's tools ask: alive, ready, counts."""

import logging

from entrepot.http.messages import Request, Response, json_response

log = logging.getLogger(__name__)


async def healthz(request: Request) -> Response:
    return json_response(200, {"status": "alive"})


async def readyz(request: Request) -> Response:
    """503 when a balancer had better choose another worker, 200 otherwise; the same for everybody who asks."""
    report = await request.app.readiness.report()
    for part, why in report.failed.items():
        log.warning("not ready, %s: %s", part, why, extra={"request_id": request.id})
    checks = {part: "ok" if works else "failed" for part, works in report.checks.items()}
    return json_response(200 if report.serves else 503, {"status": report.status, "checks": checks})


async def metrics(request: Request) -> Response:
    body = request.app.metrics.exposition()
    headers = [
        (b"content-type", b"text/plain; version=0.0.4; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
    ]
    return Response(200, headers, body)
