"""Making, changing, linking and removing users."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from entrepot.actions import acts
from entrepot.actions.manage import standing
from entrepot.actions.manage.standing import Standing
from entrepot.app import App
from entrepot.audit.actions import Action
from entrepot.audit.record import Act
from entrepot.errors import Conflict, Denied, Invalid
from entrepot.identity import groups, handed_out, passwords, sessions, tokens, users
from entrepot.identity.errors import ProviderDecides, UserUnknown
from entrepot.identity.users import LOCAL, ROBOT, User
from entrepot.principal import Caller

_OF_PROVIDER = ("display_name", "email")
"""What a provider says of its users anew at each login."""


@dataclass(frozen=True, slots=True)
class View:
    """A user, with the names of those that it refers to."""

    user: User
    linked_to: str | None
    owner: str | None
    owner_usable: bool | None = None
    """Whether who answers for a robot can still sign in; None for nobody."""


Expect = Callable[[View | None], None]
"""Called in the transaction with what is there before; raises if the change was meant for something else."""


def view(connection: Connection, user: User) -> View:
    return views(connection, [user])[0]


def views(connection: Connection, found: Iterable[User]) -> list[View]:
    found = list(found)
    known = users.by_ids(connection, (i for user in found for i in (user.linked_to, user.owner_id) if i is not None))
    return [_view(user, known.get(user.linked_to or 0), known.get(user.owner_id or 0)) for user in found]


def _view(user: User, account: User | None, owner: User | None) -> View:
    return View(
        user,
        linked_to=None if account is None else account.key,
        owner=None if owner is None else owner.key,
        owner_usable=None if owner is None else owner.usable,
    )


def get(connection: Connection, provider: str, name: str) -> View:
    """Raises UserUnknown, also for a robot: those are changed in another way."""
    return view(connection, _require(connection, provider, name))


def page(connection: Connection, *, provider: str | None, text: str, after: int, limit: int) -> list[View]:
    return views(connection, users.page(connection, provider=provider, text=text, after=after, limit=limit))


def parse_key(key: str) -> tuple[str, str]:
    """`provider:name`. Raises Invalid."""
    provider, colon, name = key.partition(":")
    if not colon or not provider or not name:
        raise Invalid("this is not a user: write provider:name, such as local:alice")
    return provider, name


async def put_local(
    app: App,
    caller: Caller,
    name: str,
    wanted: Mapping[str, object],
    password: str | None,
    expect: Expect,
) -> tuple[View, bool]:
    """Make a local user, or change it; answers whether it is new. What is not wanted stays as it is.

    Raises Denied, PasswordTooWeak, Invalid, LastAdministrator.
    """
    values = dict(wanted)
    if password is not None:
        passwords.check_rules(name, password, app.settings.login.password_characters_min)
        values["password_hash"] = await app.passwords.hash(password, caller.principal.key)
    asked = await standing.context(app, caller)

    def run(connection: Connection) -> tuple[tuple[View, bool], list[Act]]:
        administrators = users.lock_administrators(connection)
        acting = standing.of(connection, asked)
        current = users.find(connection, LOCAL, name)
        expect(None if current is None else view(connection, current))
        if current is None:
            if wanted.get("administrator"):
                standing.require_administrator(acting, "making an administrator")
            made = _add(connection, name, values, app.clock())
            return (view(connection, made), True), [Act(Action.USER_CREATE, f"user:{made.key}", detail=_fields(values))]
        _require_may_change(connection, acting, current, values)
        changed, done = _change(connection, current, values)
        users.require_administrator_left(connection, administrators)
        return (view(connection, changed), False), done

    doing = acts.change_as(app, caller, run)
    return await acts.or_refuse(app, caller, Action.USER_CHANGE, f"user:{LOCAL}:{name}", doing)


async def change(
    app: App,
    caller: Caller,
    provider: str,
    name: str,
    wanted: Mapping[str, object],
    expect: Expect,
    *,
    link: str | None = None,
) -> View:
    """Change what is wanted of a user; `link` is the key of the user to be another login of, empty for none.

    Linked, its own tokens and sessions end: they were made for what it was. Raises UserUnknown, Denied,
    ProviderDecides, Conflict, LastAdministrator.
    """
    if provider != LOCAL and any(field in wanted for field in _OF_PROVIDER):
        raise ProviderDecides(f"{', '.join(_OF_PROVIDER)} come from the provider {provider}: change them there")
    asked = await standing.context(app, caller)

    def run(connection: Connection) -> tuple[View, list[Act]]:
        administrators = users.lock_administrators(connection)
        current = _require(connection, provider, name)
        expect(view(connection, current))
        acting = standing.of(connection, asked)
        _require_may_change(connection, acting, current, wanted)
        changed, done = _change(connection, current, wanted)
        if link is not None:
            target = users.require(connection, *parse_key(link)) if link else None
            _require_may_link(connection, acting, current, target)
            changed, linked = _link(connection, changed, target, app.clock())
            done += linked
        users.require_administrator_left(connection, administrators)
        return view(connection, changed), done

    doing = acts.change_as(app, caller, run)
    return await acts.or_refuse(app, caller, Action.USER_CHANGE, f"user:{provider}:{name}", doing)


async def remove(app: App, caller: Caller, provider: str, name: str, expect: Expect) -> None:
    """Raises UserUnknown, Denied, LastAdministrator.

    A user of another provider comes back with the next login: disable who is to stay out.
    """
    asked = await standing.context(app, caller)

    def run(connection: Connection) -> tuple[None, list[Act]]:
        administrators = users.lock_administrators(connection)
        current = _require(connection, provider, name)
        expect(view(connection, current))
        acting = standing.of(connection, asked)
        standing.require_as_much_as(connection, acting, current, "removing an administrator")
        for login in users.linked(connection, current):
            _require_may_link(connection, acting, login, None)
        _unlink(connection, current, app.clock())
        tokens.remove_of_user(connection, current.id)
        sessions.end_of_user(connection, current.id)
        users.remove(connection, current)
        users.require_administrator_left(connection, administrators)
        return None, [Act(Action.USER_DELETE, f"user:{current.key}")]

    doing = acts.change_as(app, caller, run)
    await acts.or_refuse(app, caller, Action.USER_DELETE, f"user:{provider}:{name}", doing)


async def require_standing(app: App, caller: Caller, user: User) -> None:
    """What is done to an administrator is done by one. Raises Denied."""
    asked = await standing.context(app, caller)

    def run(connection: Connection) -> None:
        acting = standing.of(connection, asked)
        standing.require_as_much_as(connection, acting, user, "changing what an administrator has")

    await app.database.read(run)


def _require_may_change(connection: Connection, acting: Standing, user: User, wanted: Mapping[str, object]) -> None:
    """Raises Denied for what is done to an administrator, and for what hands out more than the caller has."""
    standing.require_as_much_as(connection, acting, user, "changing an administrator")
    if wanted.get("administrator") and not user.administrator:
        standing.require_administrator(acting, "making an administrator")
    if wanted.get("disabled") is False and user.disabled:
        standing.require(acting, standing.rights_of(connection, user), f"enabling {user.key}")
    if "password_hash" in wanted:
        require_may_set_password(connection, acting, user)


def require_may_set_password(connection: Connection, acting: Standing, user: User) -> None:
    """Raises Denied for the own one, and for somebody's who can do more than the caller."""
    if acting.user.id == user.id:
        raise Denied("change your own password with PUT /account/password, which requires the current one")
    wanted = [*standing.rights_of(connection, user), *standing.own_rights_of(connection, user)]
    standing.require(acting, wanted, f"setting the password of {user.key}")


def _require_may_link(connection: Connection, acting: Standing, user: User, target: User | None) -> None:
    """Raises Denied.

    Whoever signs in by the login becomes the target, and the target gets what the login's provider says; unlinked, the
    login is again what it was.
    """
    if user.linked_to == (None if target is None else target.id):
        return
    wanted = standing.own_rights_of(connection, user)
    if target is not None:
        wanted += standing.rights_of(connection, target)
    standing.require(acting, wanted, f"linking {user.key}, or unlinking it,")


def _require(connection: Connection, provider: str, name: str) -> User:
    if provider == ROBOT:
        raise UserUnknown("robots are not users: use /robots")
    return users.require(connection, provider, name)


def _add(connection: Connection, name: str, values: Mapping[str, object], now_ms: int) -> User:
    made = users.add(connection, LOCAL, name, now_ms=now_ms)
    return users.change(connection, made, **values) if values else made


def _change(connection: Connection, user: User, values: Mapping[str, object]) -> tuple[User, list[Act]]:
    """Set what is different, and end what must not go on after it."""
    different = {name: value for name, value in values.items() if getattr(user, name) != value}
    if not different:
        return user, []
    changed = users.change(connection, user, **different)
    if "password_hash" in different or different.get("disabled"):
        handed_out.end(connection, changed)
    return changed, _acts_of(changed, different)


def _acts_of(user: User, different: Mapping[str, object]) -> list[Act]:
    resource, rest, done = f"user:{user.key}", dict(different), []
    if rest.pop("password_hash", None) is not None:
        done.append(Act(Action.PASSWORD_CHANGE, resource, detail={"by": "an administrator"}))
    if "disabled" in rest:
        done.append(Act(Action.USER_DISABLE if rest.pop("disabled") else Action.USER_ENABLE, resource))
    if rest:
        done.append(Act(Action.USER_CHANGE, resource, detail=_fields(rest)))
    return done


def _fields(values: Mapping[str, object]) -> dict[str, object]:
    """The names of what was set, and of rights also what they became; never a password or its hash."""
    detail: dict[str, object] = {"fields": sorted("password" if name == "password_hash" else name for name in values)}
    if "administrator" in values:
        detail["administrator"] = values["administrator"]
    return detail


def _link(connection: Connection, user: User, target: User | None, now_ms: int) -> tuple[User, list[Act]]:
    """Raises Conflict for chains of links, and for robots."""
    linked_to = None if target is None else target.id
    if user.linked_to == linked_to:
        return user, []
    _unlink(connection, user, now_ms)
    if target is not None:
        current = users.require(connection, target.provider, target.name)
        if current.is_robot or current.id == user.id or current.linked_to is not None:
            raise Conflict(f"{current.key} cannot be linked to: it is itself a robot, this user, or linked")
        if users.linked(connection, user):
            raise Conflict(f"other users are linked to {user.key}: unlink them first")
        tokens.remove_of_user(connection, user.id)
        handed_out.end(connection, user)
    changed = users.change(connection, user, linked_to=linked_to)
    detail = {"linked_to": None if target is None else target.key}
    return changed, [Act(Action.USER_LINK, f"user:{user.key}", detail=detail)]


def _unlink(connection: Connection, user: User, now_ms: int) -> None:
    """What the account has by this login, it has no more."""
    account = users.account(connection, user)
    if account.id == user.id:
        return
    handed_out.end(connection, user)
    if account.provider != user.provider:
        groups.set_of_user(connection, account, user.provider, (), now_ms)
