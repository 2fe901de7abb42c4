"""The frame of every page."""

from entrepot.http.messages import Headers, Request, Response

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 26rem; margin: 12vh auto; padding: 0 1rem; color: #1b2733 }
h1 { font-size: 1.4rem; letter-spacing: .02em } label { display: block; margin: .8rem 0 }
input { width: 100%; box-sizing: border-box; padding: .5rem; border: 1px solid #b8c4ce; border-radius: 6px;
  font: inherit }
button, .button { display: block; width: 100%; box-sizing: border-box; margin: .8rem 0; padding: .6rem; border: 0;
  border-radius: 6px; background: #17568c; color: #fff; font: inherit; text-align: center; text-decoration: none }
.problem { padding: .6rem; border-radius: 6px; background: #fdecea; color: #8a1f11 }
@media (prefers-color-scheme: dark) {
  body { background: #10171e; color: #dbe4ec } input { background: #1b2733; color: inherit } }
"""
_HEADERS: Headers = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
]


def page(request: Request, status: int, content: str) -> Response:
    body = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Entrepot</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>
<body><main><h1>Entrepot</h1>{content}</main></body></html>""".encode()
    policy = (b"content-security-policy", _policy(request).encode())
    return Response(status, [*_HEADERS, policy, (b"content-length", b"%d" % len(body))], body)


def _policy(request: Request) -> str:
    """No scripts, nothing from elsewhere. Signing out goes on to a provider, which browsers ask about, too."""
    parties = [provider.relying_party for provider in request.app.providers if provider.relying_party is not None]
    targets = " ".join(["'self'", *sorted({party.origin for party in parties})])
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; form-action {targets}; frame-ancestors 'none'; base-uri 'none'"
    )
