"""A decision in words: why somebody may do something somewhere, or may not, and what to do about it."""

from dataclasses import dataclass
from datetime import UTC, datetime

from entrepot.access import roles
from entrepot.access.conditions import Context
from entrepot.access.decision import Asked, Beyond, Decision, Why, decide
from entrepot.access.permissions import PLACED, Permission
from entrepot.access.places import Place
from entrepot.access.rights import Considered
from entrepot.actions import accounts
from entrepot.app import App
from entrepot.errors import Denied
from entrepot.identity.users import User
from entrepot.namespaces import namespaces
from entrepot.namespaces.namespaces import Visibility
from entrepot.principal import Caller, Limit


@dataclass(frozen=True, slots=True)
class Explanation:
    """`because` and `advice` are sentences, `considered` every grant that the user has in some way."""

    allowed: bool
    because: list[str]
    advice: list[str]
    considered: list[Considered]


async def explain(app: App, caller: Caller, permission: Permission, path: str | None, *, closely: bool) -> Explanation:
    """`closely` tells what only auditors are to know."""
    user = await accounts.find(app, caller.principal)
    rights = await accounts.rights_of(app, user)
    asked = Asked(permission, path, Context(caller, app.clock()))
    found = None
    if permission is Permission.REPOSITORY_PULL and path is not None:
        found = await app.database.look_up(namespaces.visibility, path)
    public = found is not None and found.public
    decision = decide(asked, user, rights, everybody=app.public_permissions, public=public)
    considered = decision.considered
    because = _because(decision, user, considered, found, closely=closely)
    advice = _advice(decision, user, considered)
    return Explanation(decision.allowed, because, advice, considered)


def refusal(decision: Decision) -> Denied:
    """Why not, in words that say what is missing; the same for what exists and for what does not."""
    asked, permission = decision.asked, decision.asked.permission
    placed = permission in PLACED
    if isinstance(asked.where, Place) and placed and asked.path is not None:
        where = f"in all of {asked.where}"
    else:
        where = f"in {asked.path}" if placed and asked.path is not None else "in this registry"
    if decision.beyond is Beyond.LIMITS:
        return Denied(
            f"your token is limited and does not allow {permission.value} {where}",
            {"permission": permission.value},
        )
    held, needed = decision.roles_held, roles.having(permission)
    message = f"{permission.value} {where} needs the role {' or '.join(needed) or roles.ADMINISTRATOR}"
    message += f"; you have {', '.join(held)}" if held else "; you have no role there"
    message += ": ask an owner" if placed else ": ask an administrator"
    return Denied(message, {"permission": permission.value, "roles_needed": needed, "roles_held": held})


def limit_text(limit: Limit) -> str:
    """What a token's limit reaches."""
    where = "the whole registry" if limit.kind == "registry" else f"{limit.kind} {limit.path}"
    return f"{', '.join(sorted(limit.permissions))} in {where}"


def _what(asked: Asked) -> str:
    where = asked.path if asked.permission in PLACED and asked.path is not None else "the whole registry"
    return f"{asked.permission.value} in {where}"


def _because(
    decision: Decision, user: User | None, considered: list[Considered], found: Visibility | None, *, closely: bool
) -> list[str]:
    asked = decision.asked
    said = [_of_limits(decision)] if decision.beyond is Beyond.LIMITS else []
    if decision.beyond is Beyond.SCOPES:
        said.append(f"The bearer token was not issued for {_what(asked)}.")
    if user is not None and decision.why is Why.ADMINISTRATOR:
        return [*said, f"{user.key} is an administrator and may do everything."]
    if user is not None and decision.why is Why.ACCOUNT:
        if user.gone:
            return [*said, f"The provider {user.provider} no longer knows {user.key}, or has disabled the user."]
        return [*said, f"{user.key} is disabled in this registry."]
    if decision.why is Why.GRANT:
        return [*said, *(_applies(entry, asked) for entry in considered if not entry.missing)]
    if found is not None:
        said.append(_of_visibility(found, asked, closely=closely))
    if decision.why is Why.NOTHING:
        said += _nearly(considered)
        said.append(f"No grant of {asked.context.caller.principal.key} allows {_what(asked)}.")
    return said


def _applies(entry: Considered, asked: Asked) -> str:
    right = entry.right
    where = f"in {right.place}, {_through(entry)}"
    return f"Grant {right.grant_id} of the role {right.role.name} {where}, allows {_what(asked)}."


def _through(entry: Considered) -> str:
    kind = entry.right.through
    if kind == "group":
        return f"through the group {entry.right.group}"
    return {"user": "to the user", "signed-in": "to all who are signed in"}.get(kind, "to everyone")


def _of_visibility(found: Visibility, asked: Asked, *, closely: bool) -> str:
    source = "the whole registry" if found.source == "" else found.source
    if found.public:
        return f"{asked.path} is public (by the setting of {source}): everyone may pull from it."
    if closely and found.source is not None:
        return f"{asked.path} is private (by the setting of {source})."
    return f"{asked.path} is not public."


def _nearly(considered: list[Considered]) -> list[str]:
    """Grants of the right role in the right place that nevertheless do not apply."""
    said = []
    for entry in considered:
        right = entry.right
        of = f"Grant {right.grant_id} of the role {right.role.name} in {right.place}"
        if entry.lapsed and right.expires_at_ms is not None:
            ended = datetime.fromtimestamp(right.expires_at_ms / 1000, UTC).isoformat(timespec="seconds")
            said.append(f"{of} would allow it, but it expired at {ended}.")
        elif entry.unmet:
            said.append(f"{of} would allow it, but this request does not meet its condition: {right.condition}")
    return said


def _of_limits(decision: Decision) -> str:
    principal = decision.asked.context.caller.principal
    limits = "; ".join(limit_text(limit) for limit in principal.limits or ()) or "nothing"
    return (
        f"The token {principal.credential.id} is limited to {limits}, which does not include {_what(decision.asked)}."
    )


def _advice(decision: Decision, user: User | None, considered: list[Considered]) -> list[str]:
    if decision.allowed:
        return []
    advice = []
    if decision.beyond is Beyond.LIMITS:
        advice.append("Use another token, or create one whose limits include this.")
    if decision.beyond is Beyond.SCOPES:
        advice.append("Get a token with the scope for it from the token service.")
    if user is not None and decision.why is Why.ACCOUNT:
        enable = f"Enable the user in {user.provider}, then sign in again." if user.gone else ""
        advice.append(enable or "Ask an administrator to enable the user.")
    if decision.why is Why.NOTHING:
        advice += _ask_for_a_role(decision.asked, considered)
    return advice


def _ask_for_a_role(asked: Asked, considered: list[Considered]) -> list[str]:
    placed = asked.permission in PLACED and asked.path is not None
    whom = f"an owner of {asked.path}, or an administrator," if placed else "an administrator"
    advice = []
    if asked.context.caller.principal.is_anonymous:
        advice.append("Sign in.")
    if any(entry.lapsed for entry in considered):
        advice.append(f"Ask {whom} to renew the grant that has expired.")
    if any(entry.unmet for entry in considered):
        advice.append("Meet the condition: use the address, the time, the client or the credentials that it requires.")
    needed = roles.having(asked.permission)
    if asked.permission not in PLACED:
        needed = [f"{role}, for the whole registry" for role in needed]
    either = " or ".join(filter(None, (", ".join(needed[:-1]), needed[-1])))
    advice.append(f"Ask {whom} for the role {either}.")
    return advice
