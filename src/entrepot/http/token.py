"""The token service, both forms (distribution, "Token Authentication Specification" and "OAuth2 Token")."""

from datetime import UTC, datetime

from entrepot.actions.signing_in import bearer_tokens, credentials
from entrepot.actions.signing_in.bearer_tokens import IssuedToken
from entrepot.errors import Invalid
from entrepot.http import limits
from entrepot.http.forms import read_fields
from entrepot.http.messages import Request, Response, json_response
from entrepot.identity.errors import CredentialsInvalid
from entrepot.principal import SCOPES_MAX, Principal

FORM_BYTES_MAX = 512 * 1024
"""Room for every scope that a token can be asked for, with the longest names."""


async def get(request: Request) -> Response:
    """Basic credentials, or none for what everybody may do."""
    principal = _own(request.principal)
    offline = request.query("offline_token") == "true"
    issued = await _issue(request, principal, request.query_all("scope"), offline=offline)
    return json_response(200, _reply(issued), [(b"cache-control", b"no-store")])


async def post(request: Request) -> Response:
    """The OAuth2 form: grant_type=password, or refresh_token."""
    form = await read_fields(request, FORM_BYTES_MAX)
    fields = {name: values[0] for name, values in form.items()}
    grant_type = fields.get("grant_type", "")
    if grant_type == "password":
        name, password = fields.get("username", ""), fields.get("password", "")
        principal = await credentials.verify_password(request.app, name, password, request.origin)
        offline = fields.get("access_type") == "offline"
    elif grant_type == "refresh_token":
        principal = await credentials.verify_refresh_token(request.app, fields.get("refresh_token", ""), request.origin)
        offline = False
    else:
        raise Invalid(f"the grant type {grant_type[:50]!r} is not supported: use password or refresh_token")
    issued = await _issue(request, principal, form.get("scope", []), offline=offline)
    scope = " ".join(f"{s.type}:{s.name}:{','.join(sorted(s.actions))}" for s in issued.scopes)
    reply = {**_reply(issued), "scope": scope}
    if grant_type == "refresh_token":
        reply["refresh_token"] = fields.get("refresh_token", "")
    return json_response(200, reply, [(b"cache-control", b"no-store")])


async def _issue(request: Request, principal: Principal, scopes: list[str], *, offline: bool) -> IssuedToken:
    """Raises what `bearer_tokens.issue` raises, and TooManyRequests."""
    requested = " ".join(scopes).split()
    if len(requested) > SCOPES_MAX:
        raise Invalid(f"the request has {len(requested)} scopes: request at most {SCOPES_MAX}")
    await limits.admit_scopes(request, principal, len(requested))
    return await bearer_tokens.issue(request.app, principal, requested, request.origin, offline=offline)


def _own(principal: Principal) -> Principal:
    """A token is got with a password: one token must not be traded for another that lives longer."""
    if principal.scopes is not None:
        raise CredentialsInvalid("to get a token, send the user name and the password, not a token")
    return principal


def _reply(issued: IssuedToken) -> dict[str, object]:
    issued_at = datetime.fromtimestamp(issued.issued_at, UTC).isoformat().replace("+00:00", "Z")
    reply: dict[str, object] = {
        "token": issued.token,
        "access_token": issued.token,
        "expires_in": issued.expires_in,
        "issued_at": issued_at,
    }
    if issued.refresh_token is not None:
        reply["refresh_token"] = issued.refresh_token
    return reply
