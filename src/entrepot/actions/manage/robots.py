"""Making, changing and removing robots, and whom they trust.

A robot is a user of the provider `robot`. Its name is a path: it belongs to the namespace above, whose owners manage
it. What it may do is a matter of grants alone.
"""

from collections.abc import Mapping

from sqlalchemy import Connection

from entrepot.access.permissions import Permission
from entrepot.access.places import NAMESPACE, REGISTRY, Place
from entrepot.actions import acts
from entrepot.actions.manage import standing
from entrepot.actions.manage import users as manage_users
from entrepot.actions.manage.standing import Standing
from entrepot.actions.manage.users import Expect, View
from entrepot.app import App
from entrepot.audit.actions import Action
from entrepot.audit.record import Act
from entrepot.errors import Denied, Invalid
from entrepot.identity import handed_out, tokens, users, workloads
from entrepot.identity.errors import ProviderUnknown, TrustRuleUnknown, UserUnknown
from entrepot.identity.users import ROBOT, User
from entrepot.identity.workloads import TrustRule
from entrepot.oci.name import is_repository_name
from entrepot.principal import Caller, Principal

RESERVED = frozenset({"tokens", "trust-rules"})
"""What the API's paths have after a robot's name."""
TRUST_RULES_MAX = 100


def namespace_of(name: str) -> Place:
    """The namespace that the robot belongs to, or the registry. Raises Invalid for no robot's name.

    All of it: who owns a repository of the namespace's name does not manage the namespace's robots.
    """
    if not is_repository_name(name) or RESERVED & set(name.split("/")[1:]):
        raise Invalid(
            "a robot's name is written like a repository's (team/ci), and no part of it may be tokens or trust-rules"
        )
    namespace = name.rpartition("/")[0]
    return Place(NAMESPACE, namespace) if namespace else Place(REGISTRY, "")


def require(connection: Connection, name: str) -> User:
    """Raises UserUnknown."""
    robot = users.find(connection, ROBOT, name)
    if robot is None:
        raise UserUnknown(f"there is no robot {name}")
    return robot


def get(connection: Connection, name: str) -> View:
    """Raises UserUnknown."""
    return manage_users.view(connection, require(connection, name))


def page(connection: Connection, *, below: str, after: int, limit: int) -> list[View]:
    return manage_users.views(connection, users.page(connection, provider=ROBOT, below=below, after=after, limit=limit))


async def put(
    app: App,
    caller: Caller,
    name: str,
    wanted: Mapping[str, object],
    owner: str | None,
    expect: Expect,
) -> tuple[View, bool]:
    """Make the robot, or change it; answers whether it is new. What is not wanted stays as it is.

    Who makes it answers for it, or who manages users says who does; for what a robot makes, that robot's owner does.
    Raises Invalid, Denied, UserUnknown.
    """
    namespace_of(name)
    asked = await standing.context(app, caller)

    def run(connection: Connection) -> tuple[tuple[View, bool], list[Act]]:
        acting = standing.of(connection, asked)
        before = users.find(connection, ROBOT, name)
        expect(None if before is None else manage_users.view(connection, before))
        values = dict(wanted)
        if owner is not None:
            values["owner_id"] = _owner(connection, acting, owner).id
        if values.get("disabled") and (before is None or not before.disabled):
            values["disabled_by"] = acting.user.id
        if before is None:
            made_by = acting.user
            default_owner = made_by.owner_id if made_by.is_robot else made_by.id
            made = users.add(connection, ROBOT, name, owner_id=default_owner, now_ms=app.clock())
            made = users.change(connection, made, **values) if values else made
            view = manage_users.view(connection, made)
            return (view, True), [Act(Action.ROBOT_CREATE, f"user:{made.key}", detail={"owner": view.owner})]
        if values.get("disabled") is False and before.disabled:
            _require_may_enable(connection, acting, before)
            values["disabled_by"] = None
        different = {field: value for field, value in values.items() if getattr(before, field) != value}
        changed = users.change(connection, before, **different) if different else before
        if different.get("disabled"):
            handed_out.end(connection, changed)
        view = manage_users.view(connection, changed)
        return (view, False), _acts_of(view, different)

    doing = acts.change_as(app, caller, run)
    return await acts.or_refuse(app, caller, Action.ROBOT_CHANGE, f"user:{ROBOT}:{name}", doing)


async def remove(app: App, caller: Caller, name: str, expect: Expect) -> None:
    """Take it away with its tokens, trust rules, memberships and grants. Raises UserUnknown."""

    def run(connection: Connection) -> None:
        robot = require(connection, name)
        expect(manage_users.view(connection, robot))
        for rule in workloads.of_robot(connection, robot.id):
            workloads.remove(connection, robot.id, rule.id)
        tokens.remove_of_user(connection, robot.id)
        users.remove(connection, robot)

    await acts.change(app, caller, Act(Action.ROBOT_DELETE, f"user:{ROBOT}:{name}"), run)


def require_unlimited(principal: Principal) -> None:
    """A token that is made with a limited one could reach further than that. Raises Denied."""
    if principal.limits is not None:
        raise Denied("your token is limited: create tokens of robots with unlimited credentials")


async def add_trust_rule(
    app: App,
    caller: Caller,
    name: str,
    provider: str,
    audience: str,
    claims: Mapping[str, str],
) -> TrustRule:
    """Workloads with such claims become the robot. Raises UserUnknown, Denied, ProviderUnknown, TrustRuleInvalid."""
    known = app.providers.by_name.get(provider)
    if known is None or not known.trusted_by_rules:
        raise ProviderUnknown("there is no OIDC provider of this name in the settings")
    asked = await standing.context(app, caller)

    def run(connection: Connection) -> tuple[TrustRule, list[Act]]:
        acting = standing.of(connection, asked)
        current = require(connection, name)
        what = f"deciding which workloads sign in as {current.key}"
        standing.require(acting, standing.rights_of(connection, current), what)
        standing.require_no_longer(acting, Permission.TRUST_WRITE, Place(REGISTRY, ""), None, what)
        if len(workloads.of_robot(connection, current.id)) >= TRUST_RULES_MAX:
            raise Invalid(f"a robot can have at most {TRUST_RULES_MAX} trust rules: remove some first")
        rule = workloads.add(connection, current.id, provider, audience, claims, app.clock())
        return rule, [_trust_act(Action.TRUST_CREATE, current, rule)]

    doing = acts.change_as(app, caller, run)
    return await acts.or_refuse(app, caller, Action.TRUST_CREATE, f"user:{ROBOT}:{name}", doing)


async def remove_trust_rule(app: App, caller: Caller, name: str, rule_id: int) -> None:
    """Raises UserUnknown, TrustRuleUnknown."""

    def run(connection: Connection) -> tuple[None, list[Act]]:
        robot = require(connection, name)
        rule = next((rule for rule in workloads.of_robot(connection, robot.id) if rule.id == rule_id), None)
        if rule is None:
            raise TrustRuleUnknown(f"the robot {name} has no trust rule {rule_id}")
        workloads.remove(connection, robot.id, rule.id)
        return None, [_trust_act(Action.TRUST_DELETE, robot, rule)]

    await acts.change_as(app, caller, run)


def _owner(connection: Connection, acting: Standing, key: str) -> User:
    """Nobody is made to answer for what they did not make, but by who manages users; and learns who there is.

    Raises Denied, UserUnknown, Invalid.
    """
    named = users.find(connection, *manage_users.parse_key(key))
    account = None if named is None else users.account(connection, named)
    if not acting.may(Permission.USER_WRITE) and (account is None or account.id != acting.user.id):
        raise Denied(
            "you can only make yourself a robot's owner: naming somebody else needs the permission to manage users"
        )
    if account is None:
        raise UserUnknown(f"there is no user {key[:320]}")
    if account.is_robot:
        raise Invalid("a robot cannot own a robot: name a user")
    return account


def _require_may_enable(connection: Connection, acting: Standing, robot: User) -> None:
    """Raises Denied, also when somebody else disabled it: they undo that, or whoever manages users does."""
    standing.require(acting, standing.rights_of(connection, robot), f"enabling {robot.key}")
    if robot.disabled_by not in {None, acting.user.id} and not acting.may(Permission.USER_WRITE):
        raise Denied(f"somebody else disabled {robot.key}: ask them, or an administrator, to enable it")


def _acts_of(view: View, different: Mapping[str, object]) -> list[Act]:
    resource, rest, done = f"user:{view.user.key}", set(different) - {"disabled_by"}, []
    if "disabled" in rest:
        rest.remove("disabled")
        done.append(Act(Action.ROBOT_DISABLE if view.user.disabled else Action.ROBOT_ENABLE, resource))
    if rest:
        names = {"display_name": "description", "owner_id": "owner"}
        fields = sorted(names[field] for field in rest)
        done.append(Act(Action.ROBOT_CHANGE, resource, detail={"fields": fields, "owner": view.owner}))
    return done


def _trust_act(action: Action, robot: User, rule: TrustRule) -> Act:
    detail = {"id": rule.id, "provider": rule.provider, "audience": rule.audience, "claims": dict(rule.claims)}
    return Act(action, f"user:{robot.key}", detail=detail)
