"""Tokens of users and robots, as the API shows and creates them."""

import base64
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from entrepot.access import limits
from entrepot.actions.manage import tokens as manage
from entrepot.actions.manage.tokens import TokenTerms
from entrepot.http.api.resource import CurrentRequest, Model, Page, PageLimit
from entrepot.identity import tokens
from entrepot.identity.names import ROBOT_PREFIX
from entrepot.identity.tokens import Token
from entrepot.identity.users import User
from entrepot.principal import Limit

LIFETIME_SECONDS_MAX = 10 * 366 * 24 * 3600
OVERLAP_SECONDS_MAX = 90 * 24 * 3600


class LimitBody(Model):
    """Permissions in a place. Limits only take away: a token never allows more than its owner may do."""

    permissions: Annotated[list[Annotated[str, StringConstraints(max_length=64)]], Field(min_length=1, max_length=64)]
    """Permissions such as `repository:pull`, or `*` for all permissions that the owner has there."""
    kind: Literal["registry", "namespace", "repository", "pattern"]
    path: Annotated[str, StringConstraints(max_length=255)] = ""
    """The path of a namespace or repository, or a pattern (`team/*`, `team/**`); empty for the registry."""


class TokenBody(Model):
    name: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    """What the token is for."""
    expires_in_seconds: Annotated[int, Field(ge=1, le=LIFETIME_SECONDS_MAX)] | None = None
    """The lifetime; null: the token does not expire."""
    limits: Annotated[list[LimitBody], Field(min_length=1, max_length=tokens.LIMITS_MAX)] | None = None
    """What the token is limited to; null: it allows everything that its owner may do."""


class RotateBody(Model):
    overlap_seconds: Annotated[int, Field(ge=0, le=OVERLAP_SECONDS_MAX)] = 0
    """How long the old token stays valid beside the new one; 0: it ends at once."""


class TokenAnswer(Model):
    id: str
    kind: str
    """`personal`, `robot`, or `refresh` (created by docker login)."""
    name: str
    limits: list[LimitBody] | None
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None
    """When it was last used, to the minute."""
    used_address: str | None


class NewToken(Model):
    token: TokenAnswer
    secret: str
    """The token itself. It is shown only once."""
    username: str
    """The user name to use with the token in docker login."""
    docker_config: dict[str, dict[str, dict[str, str]]]
    """A config.json for docker and other clients."""


def parse(body: TokenBody) -> TokenTerms:
    """Raises LimitInvalid, GrantInvalid."""
    parsed: tuple[Limit, ...] | None = None
    if body.limits is not None:
        parsed = tuple(limits.parse(limit.permissions, limit.kind, limit.path) for limit in body.limits)
    return TokenTerms(body.name, parsed, body.expires_in_seconds)


async def listing(request: CurrentRequest, user: User, after: str, limit: PageLimit) -> Page[TokenAnswer]:
    found = await request.app.database.read(tokens.page, user.id, after=after, limit=limit + 1)
    shown = [answer(token) for token in found[:limit]]
    return Page(items=shown, next=shown[-1].id if len(found) > limit else None)


def answer(token: Token) -> TokenAnswer:
    return TokenAnswer(
        id=token.id,
        kind=token.kind,
        name=token.name,
        limits=None if token.limits is None else [LimitBody.model_validate(manage.plain(one)) for one in token.limits],
        created_at=moment(token.created_at_ms),
        expires_at=moment_or_none(token.expires_at_ms),
        used_at=moment_or_none(token.used_at_ms),
        used_address=token.used_address,
    )


def new(request: CurrentRequest, user: User, token: Token, secret: str) -> NewToken:
    username = f"{ROBOT_PREFIX}{user.name}" if user.is_robot else user.name
    auth = base64.b64encode(f"{username}:{secret}".encode()).decode()
    host = request.base_url.partition("://")[2].partition("/")[0]
    config = {"auths": {host: {"auth": auth}}}
    return NewToken(token=answer(token), secret=secret, username=username, docker_config=config)


def moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def moment_or_none(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else moment(milliseconds)
