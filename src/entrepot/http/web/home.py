"""The one page there is: who is signed in, and how to sign in and out."""

from html import escape
from urllib.parse import quote

from entrepot.actions.signing_in import sessions
from entrepot.errors import Denied, EntrepotError
from entrepot.http import cookies
from entrepot.http.errors import status_and_code
from entrepot.http.forms import read_form
from entrepot.http.messages import Request, Response
from entrepot.http.same_site import is_from_elsewhere
from entrepot.http.web import return_to
from entrepot.http.web.page import page


async def home(request: Request) -> Response:
    """Who is signed in, or the form to sign in by."""
    if request.principal.is_anonymous:
        return page(request, 200, _sign_in_form(request, "/"))
    name = escape(request.principal.key)
    form = '<form method="post" action="/auth/logout"><button>Sign out</button></form>'
    return page(request, 200, f"<p>You are signed in as <strong>{name}</strong>.</p>{form}")


async def sign_in(request: Request) -> Response:
    """Check the form, and start a session."""
    if is_from_elsewhere(request):
        raise Denied("you came from another site's page, which may not sign you in here: open this page yourself")
    form = await read_form(request)
    target = return_to.parse(form.get("return_to", ""))
    name, password = form.get("username", ""), form.get("password", "")
    try:
        value, seconds = await sessions.begin_by_password(request.app, name, password, request.origin)
    except EntrepotError as error:
        problem = f'<p class="problem" role="alert">{escape(error.message)}</p>'
        return page(request, status_and_code(error)[0], problem + _sign_in_form(request, target))
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
