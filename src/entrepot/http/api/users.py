"""Users: local ones, and those of providers, who appear here once they have signed in."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from pydantic import StringConstraints
from starlette.responses import Response

from entrepot.access.permissions import Permission
from entrepot.actions.manage import htpasswd
from entrepot.actions.manage import tokens as manage_tokens
from entrepot.actions.manage import users as manage
from entrepot.actions.manage.users import View
from entrepot.http.api import tokens
from entrepot.http.api.names import Key, Name, Password, ProviderName, ProviderQuery, Search, Text, TokenId
from entrepot.http.api.resource import (
    PAGE_DEFAULT,
    After,
    ApiRoute,
    CurrentRequest,
    IfMatch,
    Model,
    Page,
    PageLimit,
    after_number,
    require_match,
    tagged,
)
from entrepot.http.api.tokens import TokenAnswer, moment
from entrepot.identity.users import LOCAL


class UserBody(Model):
    """Members that are left out do not change; for a new user, they are empty or false."""

    password: Password = ""
    display_name: Text = ""
    email: Text = ""
    administrator: bool = False
    disabled: bool = False


class UserChange(Model):
    """Members that are left out do not change."""

    display_name: Text = ""
    email: Text = ""
    administrator: bool = False
    disabled: bool = False
    linked_to: Key | None = None
    """The account that this user signs in to, as `provider:name`; null: it is not linked."""


class UserAnswer(Model):
    provider: str
    name: str
    display_name: str
    email: str
    administrator: bool
    disabled: bool
    """Whether an administrator of this registry has disabled the user."""
    gone: bool
    """Whether the provider has disabled the user or no longer knows it."""
    has_password: bool
    linked_to: str | None
    created_at: datetime


class HtpasswdBody(Model):
    text: Annotated[str, StringConstraints(max_length=1024 * 1024)]
    """An htpasswd file with bcrypt hashes (htpasswd -B)."""
    replace: bool = False
    """Also set the passwords of users who exist already."""


class RefusedLine(Model):
    line: int
    name: str
    reason: str


class HtpasswdAnswer(Model):
    """Names of users, and the refused lines with the reason."""

    created: list[str]
    replaced: list[str]
    kept: list[str]
    refused: list[RefusedLine]


async def listing(
    request: CurrentRequest,
    provider: ProviderQuery = None,
    search: Search = "",
    after: After = "",
    limit: PageLimit = PAGE_DEFAULT,
) -> Page[UserAnswer]:
    """List users in the order in which they were added."""
    found = await request.app.database.read(
        manage.page, provider=provider, text=search, after=after_number(after), limit=limit + 1
    )
    shown = found[:limit]
    return Page(items=[_answer(view) for view in shown], next=str(shown[-1].user.id) if len(found) > limit else None)


async def get(request: CurrentRequest, provider: ProviderName, name: Name, response: Response) -> UserAnswer:
    return tagged(response, _answer(await request.app.database.read(manage.get, provider, name)))


async def put_local(
    request: CurrentRequest, name: Name, body: UserBody, response: Response, if_match: IfMatch = None
) -> UserAnswer:
    """Create or change a local user. Setting another user's password ends that user's sessions."""
    wanted = body.model_dump(exclude_unset=True, exclude={"password"})
    password = body.password if "password" in body.model_fields_set else None
    view, new = await manage.put_local(request.app, request.caller, name, wanted, password, _expect(if_match))
    response.status_code = 201 if new else 200
    return tagged(response, _answer(view))


async def patch(
    request: CurrentRequest,
    provider: ProviderName,
    name: Name,
    body: UserChange,
    response: Response,
    if_match: IfMatch = None,
) -> UserAnswer:
    """Change a user. A disabled user is refused from the next request; a linked user loses their own tokens."""
    wanted = body.model_dump(exclude_unset=True, exclude={"linked_to"})
    link = (body.linked_to or "") if "linked_to" in body.model_fields_set else None
    view = await manage.change(request.app, request.caller, provider, name, wanted, _expect(if_match), link=link)
    return tagged(response, _answer(view))


async def delete(request: CurrentRequest, provider: ProviderName, name: Name, if_match: IfMatch = None) -> None:
    """Remove a user and its tokens, memberships and grants. A provider's user is added again at the next login."""
    await manage.remove(request.app, request.caller, provider, name, _expect(if_match))


async def list_tokens(
    request: CurrentRequest, provider: ProviderName, name: Name, after: After = "", limit: PageLimit = PAGE_DEFAULT
) -> Page[TokenAnswer]:
    view = await request.app.database.read(manage.get, provider, name)
    return await tokens.listing(request, view.user, after, limit)


async def delete_token(request: CurrentRequest, provider: ProviderName, name: Name, token_id: TokenId) -> None:
    """Revoke a user's token."""
    view = await request.app.database.read(manage.get, provider, name)
    await manage.require_standing(request.app, request.caller, view.user)
    await manage_tokens.revoke(request.app, request.caller, view.user, token_id)


async def import_htpasswd(request: CurrentRequest, body: HtpasswdBody) -> HtpasswdAnswer:
    """Create the users of an htpasswd file. Their hashes are replaced by stronger ones as they sign in."""
    found = await htpasswd.import_users(request.app, request.caller, body.text, replace=body.replace)
    refused = [RefusedLine(line=one.line, name=one.name, reason=one.reason) for one in found.refused]
    return HtpasswdAnswer(created=found.created, replaced=found.replaced, kept=found.kept, refused=refused)


def _expect(if_match: str | None) -> Callable[[View | None], None]:
    return lambda before: require_match(if_match, None if before is None else _answer(before))


def _answer(view: View) -> UserAnswer:
    user = view.user
    return UserAnswer(
        provider=user.provider,
        name=user.name,
        display_name=user.display_name,
        email=user.email,
        administrator=user.administrator,
        disabled=user.disabled,
        gone=user.gone,
        has_password=user.password_hash is not None,
        linked_to=view.linked_to,
        created_at=moment(user.created_at_ms),
    )


_NEW: dict[int | str, dict[str, Any]] = {201: {"model": UserAnswer, "description": "The user was created."}}

# A provider's users may have slashes in their names: what comes after a name is looked for first.
ROUTES = (
    ApiRoute("GET", "/users", listing, Permission.USER_READ),
    ApiRoute("POST", "/users/import-htpasswd", import_htpasswd, Permission.USER_WRITE),
    ApiRoute("PUT", f"/users/{LOCAL}/{{name}}", put_local, Permission.USER_WRITE, responses=_NEW),
    ApiRoute("GET", "/users/{provider}/{name:path}/tokens", list_tokens, Permission.USER_READ),
    ApiRoute(
        "DELETE", "/users/{provider}/{name:path}/tokens/{token_id}", delete_token, Permission.USER_WRITE, status=204
    ),
    ApiRoute("GET", "/users/{provider}/{name:path}", get, Permission.USER_READ),
    ApiRoute("PATCH", "/users/{provider}/{name:path}", patch, Permission.USER_WRITE),
    ApiRoute("DELETE", "/users/{provider}/{name:path}", delete, Permission.USER_WRITE, status=204),
)
