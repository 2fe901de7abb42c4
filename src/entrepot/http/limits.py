"""The brake on requests: of a user who is signed in, and of an address for all who are not.

A shared address does not suffer for one of its users, nor users for strangers there. Each worker counts by itself.
Within the limits it costs a request a microsecond or two; who is exempt is looked at beyond them only.
"""

import asyncio

from entrepot.actions import acts
from entrepot.errors import RateLimited
from entrepot.http.messages import Request
from entrepot.http.origin import is_trusted
from entrepot.identity.lockout import network_of
from entrepot.principal import ANONYMOUS, Caller, Principal

NEVER_BRAKED = frozenset({"/healthz", "/readyz"})
"""What balancers and orchestrators ask: a flood must not look like a registry that is down."""
REFUSAL_SECONDS = 0.5
"""How long a refusal is held back: who goes on at once without heeding it gets no more than that many."""

SCOPES_PER_REQUEST = 64


class TooManyRequests(RateLimited):
    """Of one user or one address."""

    code = "too_many_requests"


async def admit_user(request: Request, principal: Principal) -> None:
    """Count a request of who is signed in. Raises TooManyRequests."""
    if wait := wait_of_user(request, principal):
        await refuse(request, wait, principal)


def wait_of_user(request: Request, principal: Principal) -> int:
    """Count a request of who is signed in. Returns for how many seconds there were too many: then call `refuse`."""
    brake = request.app.requests_of_users
    return brake.take(principal.key) if brake is not None else 0


async def admit_address(request: Request) -> None:
    """Count a request without credentials, or with wrong ones. Raises TooManyRequests."""
    brake = request.app.requests_of_addresses
    if brake is not None and (wait := brake.take(network_of(request.origin.address))):
        await refuse(request, wait, ANONYMOUS)


async def admit_scopes(request: Request, principal: Principal, count: int) -> None:
    """Count a token request with so many scopes as several: each is looked up. Raises TooManyRequests."""
    for _ in range(count // SCOPES_PER_REQUEST):
        await (admit_address(request) if principal.is_anonymous else admit_user(request, principal))


async def refuse(request: Request, wait: int, principal: Principal) -> None:
    """Raises TooManyRequests, unless the request is exempt."""
    if request.path in NEVER_BRAKED or _is_exempt(request, principal):
        return
    of = "address" if principal.is_anonymous else "user"
    request.app.metrics.requests_braked.labels(of).inc()
    acts.too_many(request.app, Caller(principal, request.origin))
    await asyncio.sleep(REFUSAL_SECONDS)
    raise TooManyRequests(f"too many requests from this {of}: try again in {wait} seconds", wait)


def _is_exempt(request: Request, principal: Principal) -> bool:
    limits = request.app.settings.limits
    if principal.key in limits.exempt_users:
        return True
    return bool(limits.exempt_networks) and is_trusted(request.origin.address, limits.exempt_networks)
