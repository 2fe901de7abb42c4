"""Taking over the users of an htpasswd file."""

from dataclasses import dataclass, field

from sqlalchemy import Connection

from entrepot.actions import acts
from entrepot.actions.manage import standing
from entrepot.actions.manage.standing import Standing
from entrepot.actions.manage.users import require_may_set_password
from entrepot.app import App
from entrepot.audit.actions import Action
from entrepot.audit.record import Act
from entrepot.errors import Denied, Invalid, TooLarge
from entrepot.identity import handed_out, passwords, users
from entrepot.identity.users import LOCAL
from entrepot.principal import Caller

LINES_MAX = 5000


@dataclass(frozen=True, slots=True)
class UnusableLine:
    """`line` is counted from 1."""

    line: int
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class PasswordLine:
    line: int
    name: str
    password_hash: str


@dataclass(frozen=True, slots=True)
class Imported:
    """Names of users, and lines that were refused."""

    created: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    refused: list[UnusableLine] = field(default_factory=list)


def parse(text: str) -> tuple[list[PasswordLine], list[UnusableLine]]:
    """The entries of the file, and the lines that cannot be taken. Raises TooLarge. Pure."""
    lines = text.splitlines()
    if len(lines) > LINES_MAX:
        raise TooLarge(f"the file has more than {LINES_MAX} lines: import it in parts")
    entries: dict[str, PasswordLine] = {}
    refused = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, colon, password_hash = line.strip().partition(":")
        try:
            if not colon or not name:
                raise Invalid("the line is not a name, a colon and a bcrypt hash")
            if name in entries:
                raise Invalid("the name is in the file twice")
            users.check_local_name(name)
            passwords.check_htpasswd_hash(password_hash)
        except Invalid as error:
            refused.append(UnusableLine(number, name[: users.NAME_CHARACTERS_MAX], error.message))
            continue
        entries[name] = PasswordLine(number, name, password_hash)
    return list(entries.values()), refused


async def import_users(app: App, caller: Caller, text: str, *, replace: bool) -> Imported:
    """Make the users of the file; those that are there are kept, or get the file's passwords with `replace`."""
    entries, refused = parse(text)
    asked = await standing.context(app, caller)

    def run(connection: Connection) -> tuple[Imported, list[Act]]:
        imported, done = Imported(refused=list(refused)), []
        acting = standing.of(connection, asked)
        for entry in entries:
            try:
                act = _import(connection, acting, entry, imported, replace=replace)
            except Denied as error:
                imported.refused.append(UnusableLine(entry.line, entry.name, error.message))
                continue
            if act is not None:
                done.append(act)
        imported.refused.sort(key=lambda one: one.line)
        return imported, done

    return await acts.change_as(app, caller, run)


def _import(
    connection: Connection, acting: Standing, entry: PasswordLine, imported: Imported, *, replace: bool
) -> Act | None:
    """Raises Denied."""
    now_ms = acting.holder.context.now_ms
    user, resource = users.find(connection, LOCAL, entry.name), f"user:{LOCAL}:{entry.name}"
    if user is None:
        users.add(connection, LOCAL, entry.name, password_hash=entry.password_hash, now_ms=now_ms)
        imported.created.append(entry.name)
        return Act(Action.USER_CREATE, resource, detail={"from": "htpasswd"})
    if not replace:
        imported.kept.append(entry.name)
        return None
    require_may_set_password(connection, acting, user)
    users.change(connection, user, password_hash=entry.password_hash)
    handed_out.end(connection, user)
    imported.replaced.append(entry.name)
    return Act(Action.PASSWORD_CHANGE, resource, detail={"from": "htpasswd"})
