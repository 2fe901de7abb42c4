"""Users and robots, keyed by identity provider and subject.

A user of a directory gets a row at the first login; a robot is a user of the provider `robot`. A user may be linked to
another one: whoever signs in as the first is the second.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Connection, RowMapping, bindparam, delete, func, select, update

from entrepot.database import dialect, topics
from entrepot.database.changes import announce
from entrepot.database.statements import Statement
from entrepot.errors import Invalid
from entrepot.identity.errors import LastAdministrator, NameTaken, UserUnknown
from entrepot.identity.external import ExternalUser
from entrepot.identity.names import APART, ROBOT_PREFIX, is_plain, shown
from entrepot.identity.tables import users

LOCAL = "local"
"""The provider of users whose passwords this registry keeps."""
ROBOT = "robot"
"""The provider of robots."""
ADMINISTRATOR = "admin"
NAME_CHARACTERS_MAX = 255
REFRESHED_TOLD_MS = 24 * 3600 * 1000
"""How old what workers remember of a user's last login may be."""


@dataclass(frozen=True, slots=True)
class User:
    """`disabled` is an administrator's decision, `gone` the provider's. Times are milliseconds since the epoch.

    `epoch` is in every bearer token: raising it ends them all. `disabled_by` is the id of the user who disabled a
    robot, and may be removed meanwhile.
    """

    id: int
    provider: str
    subject: str
    name: str
    display_name: str
    email: str
    password_hash: str | None
    administrator: bool
    disabled: bool
    gone: bool
    disabled_by: int | None
    linked_to: int | None
    owner_id: int | None
    epoch: int
    created_at_ms: int
    refreshed_at_ms: int | None

    @property
    def key(self) -> str:
        return f"{self.provider}:{self.name}"

    @property
    def is_robot(self) -> bool:
        return self.provider == ROBOT

    @property
    def usable(self) -> bool:
        return not self.disabled and not self.gone


_COLUMNS = tuple(users.c[name] for name in User.__dataclass_fields__)
_FIND = Statement(select(*_COLUMNS).where(users.c.provider == bindparam("provider"), users.c.name == bindparam("name")))
_BY_SUBJECT = Statement(
    select(*_COLUMNS).where(users.c.provider == bindparam("provider"), users.c.subject == bindparam("subject"))
)
_BY_ID = Statement(select(*_COLUMNS).where(users.c.id == bindparam("user_id")))
_IDS_IN_QUERY_MAX = 500
_ANY_ADMINISTRATOR = select(users.c.id).where(users.c.administrator).limit(1)
_USABLE_ADMINISTRATORS = (
    select(users.c.id)
    .where(
        users.c.provider == LOCAL,
        users.c.administrator,
        users.c.disabled.is_(False),
        users.c.gone.is_(False),
        users.c.linked_to.is_(None),
        users.c.password_hash.is_not(None),
    )
    .order_by(users.c.id)
    # SQLite has no such thing, and one transaction at a time.
    .with_for_update()
)
_INSERT = dialect.insert_or_ignore(users, "provider", "name", returning=_COLUMNS)
_STALE = (
    select(*_COLUMNS)
    .where(
        users.c.provider == bindparam("provider"),
        users.c.gone.is_(False),
        users.c.refreshed_at_ms < bindparam("before_ms"),
    )
    .order_by(users.c.refreshed_at_ms)
    .limit(bindparam("limit"))
)


def find(connection: Connection, provider: str, name: str) -> User | None:
    row = _FIND.one(connection, provider=provider, name=name)
    return None if row is None else _user(row)


def find_subject(connection: Connection, provider: str, subject: str) -> User | None:
    row = _BY_SUBJECT.one(connection, provider=provider, subject=subject)
    return None if row is None else _user(row)


def get(connection: Connection, user_id: int) -> User | None:
    row = _BY_ID.one(connection, user_id=user_id)
    return None if row is None else _user(row)


def keys(connection: Connection, ids: Collection[int]) -> dict[int, str]:
    """`provider:name` of the users with these ids, of which a page of a list has not too many."""
    chosen = select(users.c.id, users.c.provider, users.c.name).where(users.c.id.in_(ids))
    return {row.id: f"{row.provider}:{row.name}" for row in connection.execute(chosen)}


def require(connection: Connection, provider: str, name: str) -> User:
    """Raises UserUnknown."""
    user = find(connection, provider, name)
    if user is None:
        raise UserUnknown(f"the provider {provider} has no user {name[:NAME_CHARACTERS_MAX]}")
    return user


def account(connection: Connection, user: User) -> User:
    """The user itself, or the one that it is another login of."""
    return user if user.linked_to is None else (get(connection, user.linked_to) or user)


def by_ids(connection: Connection, user_ids: Iterable[int]) -> dict[int, User]:
    """Those that are there, by id."""
    wanted = sorted(set(user_ids))
    found: dict[int, User] = {}
    for start in range(0, len(wanted), _IDS_IN_QUERY_MAX):
        some = wanted[start : start + _IDS_IN_QUERY_MAX]
        rows = connection.execute(select(*_COLUMNS).where(users.c.id.in_(some))).mappings()
        found |= {row["id"]: User(**row) for row in rows}
    return found


def page(
    connection: Connection, *, provider: str | None, after: int, limit: int, text: str = "", below: str = ""
) -> list[User]:
    """Users in the order they came, after one.

    Of one provider (robots only by naming theirs), with a text in a name, with a name below a path.
    """
    statement = select(*_COLUMNS).where(users.c.id > after).order_by(users.c.id).limit(limit)
    if provider is None:
        statement = statement.where(users.c.provider != ROBOT)
    else:
        statement = statement.where(users.c.provider == provider)
    if text:
        statement = statement.where(
            users.c.name.contains(text, autoescape=True) | users.c.display_name.contains(text, autoescape=True)
        )
    if below:
        statement = statement.where((users.c.name > f"{below}/") & (users.c.name < f"{below}0"))
    return [User(**row) for row in connection.execute(statement).mappings()]


def has_administrator(connection: Connection) -> bool:
    return connection.execute(_ANY_ADMINISTRATOR).first() is not None


def lock_administrators(connection: Connection) -> set[int]:
    """The local administrators who can sign in; until the transaction ends, nobody else changes who they are."""
    return set(connection.execute(_USABLE_ADMINISTRATORS).scalars())


def require_administrator_left(connection: Connection, before: set[int]) -> None:
    """Raises LastAdministrator when there were local administrators who can sign in (`before`), and none is left."""
    if before and not lock_administrators(connection):
        raise LastAdministrator(
            "no administrator would be left: first make another local user with a password an administrator"
        )


def check_local_name(name: str) -> None:
    """Raises Invalid for a name that could be taken for another one by who reads it, or for a path or a robot's."""
    one_word = not any(character.isspace() or character in "/:\ufffd" for character in name)
    if not one_word or not is_plain(name) or not 0 < len(name) <= NAME_CHARACTERS_MAX:
        raise Invalid(
            f"a local user's name must have 1 to {NAME_CHARACTERS_MAX} characters, no slash, colon or space, nothing "
            f"invisible and no letters that look like those of another script, and must not begin with {ROBOT_PREFIX}"
        )


def linked(connection: Connection, user: User) -> list[User]:
    """The other logins of this user."""
    rows = connection.execute(select(*_COLUMNS).where(users.c.linked_to == user.id).order_by(users.c.id))
    return [User(**row) for row in rows.mappings()]


def add(
    connection: Connection,
    provider: str,
    name: str,
    *,
    subject: str | None = None,
    password_hash: str | None = None,
    administrator: bool = False,
    display_name: str = "",
    email: str = "",
    owner_id: int | None = None,
    refreshed_at_ms: int | None = None,
    now_ms: int,
) -> User:
    """Raises NameTaken, and Invalid for a name that cannot be one."""
    _check_name(name)
    if provider == LOCAL:
        check_local_name(name)
    values = {
        "provider": provider,
        "subject": subject or name,
        "name": name,
        "display_name": display_name[:255],
        "email": email[:255],
        "password_hash": password_hash,
        "administrator": administrator,
        "disabled": False,
        "gone": False,
        "disabled_by": None,
        "linked_to": None,
        "owner_id": owner_id,
        "epoch": 0,
        "created_at_ms": now_ms,
        "refreshed_at_ms": refreshed_at_ms,
    }
    row = dialect.execute(connection, _INSERT, values).mappings().one_or_none()
    if row is None:
        raise NameTaken(f"the user {name} exists already", {"name": name})
    announce(connection, topics.USERS)
    return User(**row)


def add_administrator(connection: Connection, name: str, password_hash: str, now_ms: int) -> bool:
    """Add a local administrator; False when a user of that name is there already."""
    try:
        add(connection, LOCAL, name, password_hash=password_hash, administrator=True, now_ms=now_ms)
    except NameTaken:
        return False
    return True


def change(connection: Connection, user: User, **values: object) -> User:
    """Set columns of the user; answers it as it is then."""
    connection.execute(update(users).where(users.c.id == user.id).values(**values))
    announce(connection, topics.USERS)
    changed = get(connection, user.id)
    if changed is None:
        raise UserUnknown(f"there is no user {user.name}")
    return changed


def end_bearers(connection: Connection, user_ids: Collection[int]) -> None:
    """End the bearer tokens of these users. Clients get new ones with the credentials that they have, if those hold."""
    if user_ids:
        connection.execute(update(users).where(users.c.id.in_(user_ids)).values(epoch=users.c.epoch + 1))
        announce(connection, topics.USERS)


def set_password(connection: Connection, name: str, password_hash: str, *, instead_of: str | None = None) -> bool:
    """Replace a local user's password; False when there is no such user, or none that has the hash `instead_of`."""
    statement = update(users).where(users.c.provider == LOCAL, users.c.name == name)
    if instead_of is not None:
        statement = statement.where(users.c.password_hash == instead_of)
    changed = connection.execute(statement.values(password_hash=password_hash))
    announce(connection, topics.USERS)
    return changed.rowcount > 0


def bcrypt_cost(connection: Connection) -> int:
    """The highest cost of the hashes that an htpasswd file left; 0 when there are none."""
    costs = select(func.max(func.substr(users.c.password_hash, 5, 2))).where(users.c.password_hash.startswith("$2"))
    return int(connection.execute(costs).scalar() or 0)


def remove(connection: Connection, user: User) -> None:
    """Take the user away with its tokens, sessions, memberships and grants; what it owned or was linked is not."""
    connection.execute(update(users).where(users.c.linked_to == user.id).values(linked_to=None))
    connection.execute(update(users).where(users.c.owner_id == user.id).values(owner_id=None))
    connection.execute(delete(users).where(users.c.id == user.id))
    for topic in topics.OF_A_USER:
        announce(connection, topic)


def provision(connection: Connection, provider: str, known: ExternalUser, now_ms: int) -> User:
    """The row of a provider's user, made or brought up to date with what the provider says now.

    The provider's subject is who the user is. A name that somebody else of the provider has already stays theirs until
    the provider says that they are gone: the newcomer gets it with a part of a hash of the subject behind. A name
    that could be taken for another one is written out (names.shown), as is the sign before that part of a hash.
    Raises Invalid for a name or a subject that cannot be one.
    """
    _check_name(known.name)
    known = replace(known, name=shown(known.name))
    _check_name(known.name)
    if not 0 < len(known.subject) <= NAME_CHARACTERS_MAX or "\x00" in known.subject:
        raise Invalid("the provider's identifier of the user cannot be stored: it must have 1 to 255 characters")
    known = replace(known, display_name=_kept(known.display_name), email=_kept(known.email))
    user = find_subject(connection, provider, known.subject)
    if user is None or user.name != known.name:
        known = replace(known, name=_free_name(connection, provider, known))
    current: Mapping[str, object] = {
        "name": known.name,
        "display_name": known.display_name,
        "email": known.email,
        "gone": False,
    }
    if user is None:
        try:
            return add(
                connection,
                provider,
                known.name,
                subject=known.subject,
                display_name=known.display_name,
                email=known.email,
                refreshed_at_ms=now_ms,
                now_ms=now_ms,
            )
        except NameTaken:
            # By another of the user's first logins, at the same time.
            user = find_subject(connection, provider, known.subject)
            if user is None:
                raise
    if any(getattr(user, name) != value for name, value in current.items()):
        return change(connection, user, **current, refreshed_at_ms=now_ms)
    # Nothing that a worker remembers of the user has changed: nobody needs to be told, but once in a while.
    connection.execute(update(users).where(users.c.id == user.id).values(refreshed_at_ms=now_ms))
    if now_ms - (user.refreshed_at_ms or 0) > REFRESHED_TOLD_MS:
        announce(connection, topics.USERS)
    return user


def stale(connection: Connection, provider: str, before_ms: int, limit: int) -> list[User]:
    """Users whose provider was last asked about them before that time, the longest ago first."""
    rows = connection.execute(_STALE, {"provider": provider, "before_ms": before_ms, "limit": limit})
    return [User(**row) for row in rows.mappings()]


def _free_name(connection: Connection, provider: str, known: ExternalUser) -> str:
    """The name for a subject that does not have it yet: its own, unless somebody has it who is still there."""
    former = find(connection, provider, known.name)
    if former is None:
        return known.name
    if former.gone:
        change(connection, former, name=f"{known.name[:200]}{APART}{former.id}")
        return known.name
    return f"{known.name[:200]}{APART}{hashlib.sha256(known.subject.encode()).hexdigest()[:12]}"


def _check_name(name: str) -> None:
    """Raises Invalid."""
    if not name or len(name) > NAME_CHARACTERS_MAX or any(ord(character) < 33 for character in name) or ":" in name:
        raise Invalid("a user's name must have 1 to 255 characters, without spaces and colons")


def _kept(text: str) -> str:
    return text.replace("\x00", "")[:255]


def _user(row: tuple[object, ...] | RowMapping) -> User:
    values = list(row)
    for position in _BOOLEANS:
        values[position] = bool(values[position])
    return User(*values)  # type: ignore[arg-type]


_BOOLEANS = [list(User.__dataclass_fields__).index(name) for name in ("administrator", "disabled", "gone")]
