"""The one page there is: who is signed in, and how to sign in and out."""

from html import escape
from urllib.parse import quote

from entrepot.actions.signing_in import sessions
from entrepot.errors import Denied, EntrepotError
from entrepot.http import cookies
from entrepot.http.errors import status_and_code
from entrepot.http.forms import read_form
from entrepot.http.messages import Headers, Request, Response
from entrepot.http.same_site import is_from_elsewhere
from entrepot.http.web import return_to

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


async def home(request: Request) -> Response:
    """Who is signed in, or the form to sign in by."""
    if request.principal.is_anonymous:
        return _page(request, 200, _sign_in_form(request, "/"))
    name = escape(request.principal.key)
    form = '<form method="post" action="/auth/logout"><button>Sign out</button></form>'
    return _page(request, 200, f"<p>You are signed in as <strong>{name}</strong>.</p>{form}")


async def sign_in(request: Request) -> Response:
    """Check the form, and start a session."""
    if is_from_elsewhere(request):
        raise Denied("another site's page may not sign you in here")
    form = await read_form(request)
    target = return_to.parse(form.get("return_to", ""))
    name, password = form.get("username", ""), form.get("password", "")
    try:
        value, seconds = await sessions.begin_by_password(request.app, name, password, request.origin)
    except EntrepotError as error:
        problem = f'<p class="problem" role="alert">{escape(error.message)}</p>'
        return _page(request, status_and_code(error)[0], problem + _sign_in_form(request, target))
    secure = request.base_url.startswith("https://")
    cookie = cookies.write(cookies.SESSION, value, seconds=seconds, path="/", secure=secure)
    return Response(303, [(b"location", target.encode()), (b"content-length", b"0"), cookie])


def _sign_in_form(request: Request, target: str) -> str:
    providers = [
        f'<a class="button" href="/auth/{provider.name}/login?return_to={quote(target, safe="/")}">'
        f"Sign in with {escape(provider.name)}</a>"
        for provider in request.app.providers
        if provider.relying_party is not None
    ]
    return f"""
<form method="post" action="/auth/login">
<label>User name <input name="username" autocomplete="username" required autofocus></label>
<label>Password <input name="password" type="password" autocomplete="current-password" required></label>
<input type="hidden" name="return_to" value="{escape(target)}">
<button>Sign in</button>
</form>{"".join(providers)}"""


def _page(request: Request, status: int, content: str) -> Response:
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
