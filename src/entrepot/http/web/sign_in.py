"""Signing in by an OpenID provider: in the browser, on another device, and out again."""

import re
from collections.abc import Mapping

from entrepot.actions.signing_in import browser_logins, device_logins, sessions
from entrepot.actions.signing_in.browser_logins import Callback
from entrepot.http import cookies
from entrepot.http.forms import read_form
from entrepot.http.messages import Headers, Request, Response, json_response
from entrepot.http.web import return_to
from entrepot.identity.errors import CredentialsInvalid, LoginUnknown, TokenInvalid
from entrepot.identity.oidc import Waiting

COOKIE_PATH = "/auth/"
COOKIE_NAME_CHARACTERS = 8
LOGIN_COOKIES_CHARACTERS_MAX = 6000
"""What the logins of one browser may take together: servers and proxies refuse requests with more than 8 KB of cookies.
"""
_NO_STORE = (b"cache-control", b"no-store")
_LOGIN_COOKIE = re.compile(rf"{cookies.LOGIN_PREFIX}[A-Za-z0-9_-]{{{COOKIE_NAME_CHARACTERS}}}")
_ERROR_CODE = re.compile(r"[a-z_]{1,50}")


async def login(request: Request) -> Response:
    """Send the browser to the provider."""
    target = return_to.parse(request.query_text("return_to"))
    redirect_uri = f"{request.base_url}/auth/{request.reference}/callback"
    started = await browser_logins.start(request.app, request.reference, redirect_uri, target)
    secure = _is_secure(request)
    kept = cookies.write(
        _cookie_of(started.state), started.sealed, seconds=started.seconds, path=COOKIE_PATH, secure=secure
    )
    dropped = [
        cookies.write(name, "", seconds=0, path=COOKIE_PATH, secure=secure)
        for name in _too_many(cookies.read(request), LOGIN_COOKIES_CHARACTERS_MAX - len(started.sealed))
    ]
    return _redirect(started.url, [kept, *dropped])


async def callback(request: Request) -> Response:
    """The browser is back from the provider (RFC 6749, sections 4.1.2 and 4.1.2.1)."""
    state = request.query_text("state")
    error = request.query_text("error")
    answer = Callback(
        state=state,
        sealed=cookies.read(request).get(_cookie_of(state), ""),
        code=request.query_text("code"),
        error=error if not error or _ERROR_CODE.fullmatch(error) else "error",
        issuer=request.query("iss"),
    )
    finished = await browser_logins.finish(request.app, request.reference, answer, request.origin)
    secure = _is_secure(request)
    bound = cookies.write(_cookie_of(state), "", seconds=0, path=COOKIE_PATH, secure=secure)
    session = cookies.write(cookies.SESSION, finished.session, seconds=finished.seconds, path="/", secure=secure)
    return _redirect(finished.return_to, [bound, session])


async def logout(request: Request) -> Response:
    """End the session here, and send the browser to where the provider ends its own."""
    home = request.base_url + return_to.HOME
    target = await sessions.end(request.app, cookies.read(request).get(cookies.SESSION, ""), request.origin, home)
    gone = cookies.write(cookies.SESSION, "", seconds=0, path="/", secure=_is_secure(request))
    return _redirect(target or return_to.HOME, [gone])


async def backchannel_logout(request: Request) -> Response:
    """The provider says that a session is over (OpenID Connect Back-Channel Logout 1.0, section 2.5)."""
    token = (await read_form(request)).get("logout_token", "")
    try:
        await sessions.end_by_provider(request.app, request.reference, token, request.origin)
    except TokenInvalid as error:
        return json_response(400, {"error": "invalid_request", "error_description": error.message}, [_NO_STORE])
    return json_response(200, {}, [_NO_STORE])


async def device(request: Request) -> Response:
    """Start a login that is finished in a browser elsewhere (RFC 8628, section 3.2)."""
    started = await device_logins.start(request.app, request.reference, request.origin)
    answer: dict[str, object] = {
        "device_code": started.secret,
        "user_code": started.shown.user_code,
        "verification_uri": started.shown.verification_uri,
        "expires_in": started.shown.expires_in,
        "interval": started.shown.interval,
    }
    if started.shown.verification_uri_complete:
        answer["verification_uri_complete"] = started.shown.verification_uri_complete
    return json_response(200, answer, [_NO_STORE])


async def device_token(request: Request) -> Response:
    """Whether that login is finished: a session, or why there is none yet (RFC 8628, section 3.5)."""
    secret = (await read_form(request)).get("device_code", "")
    try:
        answer = await device_logins.poll(request.app, request.reference, secret, request.origin)
    except LoginUnknown as error:
        return _device_error("expired_token", error.message)
    except CredentialsInvalid as error:
        return _device_error("access_denied", error.message)
    if isinstance(answer, Waiting):
        return _device_error(answer.value, "the login is not finished yet")
    told = {"session": answer.session, "expires_in": answer.seconds, "user": answer.principal.key}
    return json_response(200, told, [_NO_STORE])


def _device_error(code: str, message: str) -> Response:
    return json_response(400, {"error": code, "error_description": message}, [_NO_STORE])


def _cookie_of(state: str) -> str:
    """Each login has its own, so that several may be under way in one browser."""
    return cookies.LOGIN_PREFIX + state[:COOKIE_NAME_CHARACTERS]


def _too_many(found: Mapping[str, str], characters_max: int) -> list[str]:
    """Cookies of the oldest logins, that have no room beside the newer ones. A browser sends the oldest one first."""
    dropped = []
    for name in reversed([name for name in found if _LOGIN_COOKIE.fullmatch(name)]):
        characters_max -= len(name) + len(found[name])
        if characters_max < 0:
            dropped.append(name)
    return dropped


def _is_secure(request: Request) -> bool:
    return request.base_url.startswith("https://")


def _redirect(location: str, headers: Headers) -> Response:
    # What is at the end of a way through a provider has secrets in its address.
    fixed = [(b"location", location.encode()), (b"content-length", b"0"), (b"referrer-policy", b"no-referrer")]
    return Response(303, [*fixed, _NO_STORE, *headers])
