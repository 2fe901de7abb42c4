"""Which robot a workload is: claims of its token, held against the rules that robots trust.

A pattern is the whole value of a claim, letter by letter. In it, `*` stands for any characters but `/` and `:`, none
included, and `**` for any characters at all. So `repo:team/*:ref:refs/heads/main` reaches neither another part of the
subject nor another branch. There is no escape: no value that a CI system lets people choose has a `*` in it.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, insert, select

from entrepot.database import topics
from entrepot.database.changes import announce
from entrepot.errors import Invalid
from entrepot.identity import users
from entrepot.identity.assertions import Assertion
from entrepot.identity.tables import trust_rules

CLAIMS_MAX = 20
PATTERN_CHARACTERS_MAX = 255
WILDCARDS_MAX = 16
VALUE_CHARACTERS_MAX = 1024
LIST_ITEMS_MAX = 200
_BOUNDARIES = "/:"


class TrustRuleInvalid(Invalid):
    code = "trust_rule_invalid"


@dataclass(frozen=True, slots=True)
class TrustRule:
    """Whoever has a token of this provider, for this audience and with such claims, is this robot."""

    id: int
    robot_id: int
    provider: str
    audience: str
    claims: Mapping[str, str]


def matching(rules: Iterable[TrustRule], provider: str, assertion: Assertion) -> tuple[TrustRule, ...]:
    """The rules that a verified token of the provider fulfils, in their order."""
    return tuple(
        rule
        for rule in rules
        if rule.provider == provider and rule.audience in assertion.audiences and fulfils(assertion.claims, rule.claims)
    )


def fulfils(claims: Mapping[str, Any], patterns: Mapping[str, str]) -> bool:
    """Whether every pattern matches its claim. No patterns are fulfilled by nobody."""
    return bool(patterns) and all(_claim_matches(claims.get(name), pattern) for name, pattern in patterns.items())


def matches(pattern: str, value: str) -> bool:
    """Whether the pattern is the whole value. An empty value matches nothing: issuers write it for what is not there.

    Takes time in proportion to the product of both lengths, whatever the pattern.
    """
    if not 0 < len(value) <= VALUE_CHARACTERS_MAX:
        return False
    parts = _parts(pattern)
    positions = _skip(parts, {0})
    for character in value:
        reached = set()
        for position in positions:
            part = parts[position] if position < len(parts) else ""
            if part == "**" or (part == "*" and character not in _BOUNDARIES):
                reached.add(position)
            elif part == character:
                reached.add(position + 1)
        positions = _skip(parts, reached)
        if not positions:
            return False
    return len(parts) in positions


def check(audience: str, claims: Mapping[str, str]) -> None:
    """Raises TrustRuleInvalid for a rule that would trust everybody, or that cannot be kept."""
    if not 0 < len(audience) <= 255 or not _is_printable(audience):
        raise TrustRuleInvalid("give the audience for which the workload requests its token")
    if not claims:
        raise TrustRuleInvalid("a rule without claims would trust everyone with a token of this issuer: add claims")
    if len(claims) > CLAIMS_MAX:
        raise TrustRuleInvalid(f"a rule can have at most {CLAIMS_MAX} claims")
    for name, pattern in claims.items():
        if not 0 < len(name) <= PATTERN_CHARACTERS_MAX or not _is_printable(name):
            raise TrustRuleInvalid("a claim needs a name")
        if not 0 < len(pattern) <= PATTERN_CHARACTERS_MAX or not _is_printable(pattern):
            raise TrustRuleInvalid(f"a pattern must have 1 to {PATTERN_CHARACTERS_MAX} characters", {"claim": name})
        if "***" in pattern:
            raise TrustRuleInvalid("a pattern may contain * or **, but not more asterisks in a row", {"claim": name})
        if sum(len(part) > 1 or part == "*" for part in _parts(pattern)) > WILDCARDS_MAX:
            raise TrustRuleInvalid(f"a pattern can have at most {WILDCARDS_MAX} wildcards", {"claim": name})
    if all(not pattern.strip("*" + _BOUNDARIES) for pattern in claims.values()):
        raise TrustRuleInvalid(
            "a rule with only wildcards would trust everyone with a token of this issuer: make a claim more specific"
        )


def add(
    connection: Connection, robot_id: int, provider: str, audience: str, claims: Mapping[str, str], now_ms: int
) -> TrustRule:
    """Raises TrustRuleInvalid."""
    check(audience, claims)
    values = {
        "robot_id": robot_id,
        "provider": provider,
        "audience": audience,
        "claims": json.dumps(dict(claims), sort_keys=True),
        "created_at_ms": now_ms,
    }
    rule_id = connection.execute(insert(trust_rules).returning(trust_rules.c.id), values).scalar_one()
    announce(connection, topics.TRUST_RULES)
    return TrustRule(rule_id, robot_id, provider, audience, dict(claims))


def of_robot(connection: Connection, robot_id: int) -> tuple[TrustRule, ...]:
    return _list(connection, trust_rules.c.robot_id == robot_id)


def of_provider(connection: Connection, provider: str) -> tuple[TrustRule, ...]:
    """In the order in which they were added."""
    return _list(connection, trust_rules.c.provider == provider)


def remove(connection: Connection, robot_id: int, rule_id: int) -> bool:
    """False when the robot has no such rule."""
    removed = connection.execute(
        delete(trust_rules).where(trust_rules.c.id == rule_id, trust_rules.c.robot_id == robot_id)
    )
    announce(connection, topics.TRUST_RULES)
    if removed.rowcount:
        # Who became the robot by this rule may hold its bearer tokens, and is remembered among the users.
        users.end_bearers(connection, {robot_id})
    return removed.rowcount > 0


def _list(connection: Connection, condition: ColumnElement[bool]) -> tuple[TrustRule, ...]:
    columns = trust_rules.c
    statement = select(columns.id, columns.robot_id, columns.provider, columns.audience, columns.claims)
    rows = connection.execute(statement.where(condition).order_by(columns.id))
    return tuple(TrustRule(row.id, row.robot_id, row.provider, row.audience, json.loads(row.claims)) for row in rows)


def _claim_matches(claim: object, pattern: str) -> bool:
    """A list matches by any of its elements; objects, fractions and null match nothing."""
    if isinstance(claim, list):
        return any(_scalar_matches(item, pattern) for item in claim[:LIST_ITEMS_MAX])
    return _scalar_matches(claim, pattern)


def _scalar_matches(value: object, pattern: str) -> bool:
    if isinstance(value, bool):
        return matches(pattern, "true" if value else "false")
    if isinstance(value, int):
        # Longer numbers than any identifier are not worth writing out.
        return value.bit_length() <= 128 and matches(pattern, str(value))
    return isinstance(value, str) and matches(pattern, value)


def _parts(pattern: str) -> list[str]:
    """Characters, `*` and `**`."""
    parts: list[str] = []
    position = 0
    while position < len(pattern):
        width = 2 if pattern.startswith("**", position) else 1
        parts.append(pattern[position : position + width])
        position += width
    return parts


def _skip(parts: list[str], positions: set[int]) -> set[int]:
    """These positions, and those behind wildcards that stand for nothing."""
    reached = set()
    for position in positions:
        here = position
        reached.add(here)
        while here < len(parts) and parts[here] in {"*", "**"}:
            here += 1
            reached.add(here)
    return reached


def _is_printable(text: str) -> bool:
    return text.isprintable()
