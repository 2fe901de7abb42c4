"""Workloads, who sign in with a token of their issuer as the password: CI jobs as robots, pods as service accounts."""

import hashlib
from dataclasses import dataclass

from entrepot.actions import accounts, acts
from entrepot.actions.signing_in import external_users
from entrepot.app import App
from entrepot.audit.actions import Action
from entrepot.audit.record import FAILED, Act
from entrepot.database import topics
from entrepot.errors import Unauthenticated
from entrepot.identity import assertions, users, workloads
from entrepot.identity.assertions import Assertion
from entrepot.identity.errors import CredentialsInvalid, LoginDelayed, TokenInvalid
from entrepot.identity.issuers import Issuer
from entrepot.identity.names import ROBOT_PREFIX
from entrepot.identity.providers import TokenUsers
from entrepot.identity.users import User
from entrepot.identity.workloads import TrustRule
from entrepot.principal import Caller, Credential, Origin, Principal

TRUSTED_MS = 60_000
"""How long a token that was verified is taken without verifying it again; never longer than it lives."""
WORKLOAD = Credential("workload")
_RULE_BYTES, _WORKLOAD_BYTES = 1000, 300
"""What remembering one costs, roughly."""


@dataclass(frozen=True, slots=True)
class _Verified:
    """Whose token it was, and until when that is believed."""

    user_id: int
    until_ms: int


async def check(app: App, name: str, token: str, origin: Origin) -> Principal:
    """Who a signed token is for. `name` chooses the robot, `robot+NAME`, where the token may be several.

    Raises TokenInvalid, CredentialsInvalid, AccountDisabled, ProviderUnavailable.
    """
    key = hashlib.sha256(f"{len(name)}:{name}{token}".encode("utf-8", "surrogatepass")).digest()
    # With what is known of users: gone with any change of one, and with the rule by which a robot was found.
    verified = await app.caches.accounts.remember(
        topics.USERS,
        key,
        lambda: _verify(app, name, token, origin),
        _WORKLOAD_BYTES,
        lambda known: known.until_ms > app.clock(),
    )
    user = await accounts.by_id(app, verified.user_id)
    if user is None or not user.usable:
        raise CredentialsInvalid("the token's user was removed or disabled in the meantime: try again")
    return accounts.principal(user, WORKLOAD)


async def _verify(app: App, name: str, token: str, origin: Origin) -> _Verified:
    try:
        user, assertion = await _identify(app, name, token, origin)
    except Unauthenticated as error:
        act = Act(
            Action.LOGIN_WORKLOAD, f"user:{name[: users.NAME_CHARACTERS_MAX]}", outcome=FAILED, reason=error.message
        )
        if wait := await acts.fail(app, origin, act):
            raise LoginDelayed(f"too many wrong credentials: try again in {wait} seconds", wait) from None
        raise
    until_ms = min(app.clock() + TRUSTED_MS, assertion.expires_at * 1000)
    return _Verified(user.id, until_ms)


async def _identify(app: App, name: str, token: str, origin: Origin) -> tuple[User, Assertion]:
    named = assertions.issuer_named_in(token)
    candidates = [(one, one.issuer) for one in app.providers if one.issuer is not None and one.issuer.url == named]
    if not named or not candidates:
        raise TokenInvalid("the token's issuer is not known to this registry")
    problem: TokenInvalid | None = None
    for provider, issuer in candidates:
        try:
            if provider.token_users is not None:
                return await _user(app, provider.name, issuer, provider.token_users, token, origin)
            return await _robot(app, provider.name, issuer, name, token, origin)
        except TokenInvalid as error:
            # Another provider may know the same issuer, for another audience.
            problem = problem or error
    raise problem or TokenInvalid("the token's issuer is not known to this registry")


async def _user(
    app: App, provider: str, issuer: Issuer, users_by_token: TokenUsers, token: str, origin: Origin
) -> tuple[User, Assertion]:
    assertion = await assertions.verify(issuer, token, [users_by_token.audience], app.clock() // 1000)
    known = users_by_token.user_in(assertion)
    principal = await external_users.sign_in(
        app, provider, known, origin, credential=WORKLOAD, action=Action.LOGIN_WORKLOAD
    )
    user = await accounts.find(app, principal)
    if user is None:
        raise CredentialsInvalid("the service account's user was removed in the meantime: try again")
    return user, assertion


async def _robot(
    app: App, provider: str, issuer: Issuer, name: str, token: str, origin: Origin
) -> tuple[User, Assertion]:
    rules = await _rules(app, provider)
    assertion = await assertions.verify(issuer, token, {rule.audience for rule in rules}, app.clock() // 1000)
    matching = workloads.matching(rules, provider, assertion)
    robots = {rule.robot_id: await accounts.by_id(app, rule.robot_id) for rule in matching}
    usable = [robot for robot in robots.values() if robot is not None and robot.usable]
    if name.startswith(ROBOT_PREFIX):
        usable = [robot for robot in usable if ROBOT_PREFIX + robot.name == name]
    if not usable:
        raise CredentialsInvalid("no robot of this name trusts a workload with these claims: see its trust rules")
    if len(usable) > 1:
        raise CredentialsInvalid(
            f"several robots trust this workload: choose one with {ROBOT_PREFIX}NAME as the user name"
        )
    robot = usable[0]
    principal = accounts.principal(robot, WORKLOAD)
    detail: dict[str, object] = {
        "provider": provider,
        "subject": assertion.subject[: users.NAME_CHARACTERS_MAX],
        "trust_rules": [rule.id for rule in matching if rule.robot_id == robot.id],
    }
    await acts.keep(app, Caller(principal, origin), Act(Action.LOGIN_WORKLOAD, f"user:{robot.key}", detail=detail))
    return robot, assertion


async def _rules(app: App, provider: str) -> tuple[TrustRule, ...]:
    return await app.caches.accounts.remember(
        topics.TRUST_RULES,
        provider,
        lambda: app.database.look_up(workloads.of_provider, provider),
        lambda rules: 100 + len(rules) * _RULE_BYTES,
    )
