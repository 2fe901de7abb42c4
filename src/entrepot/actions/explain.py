"""Why somebody may do something somewhere, or may not, and what to do about it. Decides as `authorize` does."""

from dataclasses import dataclass
from datetime import UTC, datetime

from entrepot.access import decide, roles
from entrepot.access.conditions import Context
from entrepot.access.permissions import PLACED, Permission
from entrepot.access.rights import Considered
from entrepot.actions import accounts
from entrepot.app import App
from entrepot.identity.users import User
from entrepot.namespaces import namespaces
from entrepot.namespaces.namespaces import Visibility
from entrepot.principal import Caller, Limit


@dataclass(frozen=True, slots=True)
class Question:
    """May this caller do this at this path? `closely` tells what only auditors are to know."""

    caller: Caller
    permission: Permission
    path: str | None
    closely: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """`because` and `advice` are sentences, `considered` every grant that the user has in some way."""

    allowed: bool
    because: list[str]
    advice: list[str]
    considered: list[Considered]


async def explain(app: App, asked: Question) -> Explanation:
    """The answer `authorize.user_may` gives, with the reasons."""
    user = await accounts.find(app, asked.caller.principal)
    rights = await accounts.rights_of(app, user)
    context = Context(asked.caller, app.clock())
    considered = rights.explain(asked.permission, asked.path, context)
    what = _what(asked)
    because, advice = _of_account(asked, user)
    if because:
        allowed = user is not None and user.usable
    else:
        because = [_applies(entry, what) for entry in considered if not entry.missing]
        if not because and asked.permission is Permission.REPOSITORY_PULL and asked.path is not None:
            found = await app.database.look_up(namespaces.visibility, asked.path)
            because, allowed = [_of_visibility(found, asked)], found.public
        else:
            allowed = bool(because)
        if not allowed:
            because += _nearly(considered, context)
            because.append(f"No grant that {asked.caller.principal.key} has allows {what}.")
            advice = _advice(asked, considered)
    if not decide.within_limits(asked.caller.principal, asked.permission, asked.path):
        because, advice = _of_limits(asked, what, because, advice, allowed=allowed)
        allowed = False
    return Explanation(allowed, because, advice, considered)


def limit_text(limit: Limit) -> str:
    """What a token's limit reaches."""
    where = "the whole registry" if limit.kind == "registry" else f"{limit.kind} {limit.scope}"
    return f"{', '.join(sorted(limit.permissions))} in {where}"


def _what(asked: Question) -> str:
    where = asked.path if asked.permission in PLACED and asked.path is not None else "the whole registry"
    return f"{asked.permission.value} in {where}"


def _of_account(asked: Question, user: User | None) -> tuple[list[str], list[str]]:
    """What ends the matter before any grant is looked at."""
    if user is None:
        return [], []
    if user.gone:
        why = f"{user.key} is not known to the provider {user.provider} any more, or disabled there."
        return [why], [f"Enable the user at {user.provider}, and sign in again."]
    if user.disabled:
        return [f"{user.key} is disabled in this registry."], ["Ask an administrator to enable the user."]
    if user.administrator:
        return [f"{user.key} is an administrator, and may do everything."], []
    return [], []


def _applies(entry: Considered, what: str) -> str:
    right = entry.right
    return f"Grant {right.grant_id} of the role {right.role.name} in {right.place}, {_through(entry)}, allows {what}."


def _through(entry: Considered) -> str:
    kind = entry.right.through
    if kind == "group":
        return f"through the group {entry.right.group}"
    return {"user": "to the user", "signed-in": "to all who are signed in"}.get(kind, "to everyone")


def _of_visibility(found: Visibility, asked: Question) -> str:
    source = "the whole registry" if found.source == "" else found.source
    if found.public:
        return f"{asked.path} is public (by the setting of {source}): anybody may pull from it."
    if asked.closely and found.source is not None:
        return f"{asked.path} is private (by the setting of {source})."
    return f"{asked.path} is not public."


def _nearly(considered: list[Considered], context: Context) -> list[str]:
    """Grants of the right role in the right place that nevertheless do not apply."""
    said = []
    for entry in considered:
        right = entry.right
        of = f"Grant {right.grant_id} of the role {right.role.name} in {right.place}"
        if entry.lapsed and right.expires_at_ms is not None:
            ended = datetime.fromtimestamp(right.expires_at_ms / 1000, UTC).isoformat(timespec="seconds")
            said.append(f"{of} would allow it, but expired at {ended}.")
        elif entry.unmet:
            said.append(f"{of} would allow it, but its condition does not hold for this request: {right.condition}")
    return said


def _advice(asked: Question, considered: list[Considered]) -> list[str]:
    placed = asked.permission in PLACED and asked.path is not None
    whom = f"an owner of {asked.path}, or an administrator," if placed else "an administrator"
    advice = []
    if asked.caller.principal.is_anonymous:
        advice.append("Sign in.")
    if any(entry.lapsed for entry in considered):
        advice.append(f"Ask {whom} to renew the grant that has expired.")
    if any(entry.unmet for entry in considered):
        advice.append("Do it as the condition wants: from that address, at that time, with that client or credential.")
    needed = roles.having(asked.permission)
    if asked.permission not in PLACED:
        needed = [f"{role}, for the whole registry" for role in needed]
    either = " or ".join(filter(None, (", ".join(needed[:-1]), needed[-1])))
    advice.append(f"Ask {whom} for the role {either}.")
    return advice


def _of_limits(
    asked: Question, what: str, because: list[str], advice: list[str], *, allowed: bool
) -> tuple[list[str], list[str]]:
    limits = "; ".join(limit_text(limit) for limit in asked.caller.principal.limits or ()) or "nothing"
    said = f"The token {asked.caller.principal.credential.id} is limited to {limits}: that does not reach {what}."
    use = "Use another token, or make one whose limits reach that far."
    return [said, *because], [use] if allowed else [use, *advice]
