"""What `rights.Rights.allows` says of one repository, as a filter for a list of them."""

import json
from collections.abc import Iterable

from sqlalchemy import ColumnElement, false, literal, or_, select, true

from entrepot.access.places import PATTERN, Place, expression, plain_expression
from entrepot.access.rights import Visible
from entrepot.database import dialect


def within(name: ColumnElement[str], visible: Visible, *, dialect_name: str) -> ColumnElement[bool]:
    """Whether the repository of this name is visible."""
    if visible.everything:
        return true()
    conditions: list[ColumnElement[bool]] = []
    # One parameter however many texts there are: both databases limit their number.
    for texts, holds in ((visible.namespaces, _is_in), (visible.repositories, _is)):
        if texts:
            text = dialect.elements(json.dumps(texts), dialect_name)
            conditions.append(select(literal(1)).where(holds(name, text)).exists())
    if visible.patterns:
        low, high, fits = dialect.rows(json.dumps(_by_anchor(visible.patterns, dialect_name)), 3, dialect_name)
        is_there = (name > low) & (name < high) & name.regexp_match(fits)
        conditions.append(select(literal(1)).where(is_there).exists())
    return or_(*conditions) if conditions else false()


def _is(name: ColumnElement[str], repository: ColumnElement[str]) -> ColumnElement[bool]:
    return name == repository


def _is_in(name: ColumnElement[str], namespace: ColumnElement[str]) -> ColumnElement[bool]:
    # "0" is what comes after "/".
    return or_(name == namespace, (name > namespace + "/") & (name < namespace + "0"))


def _by_anchor(patterns: Iterable[str], dialect_name: str) -> list[tuple[str, str, str]]:
    """What names are between, and an expression for all patterns there: each name is compared with those near it."""
    one = plain_expression if dialect_name == "postgresql" else expression
    found: dict[str, list[str]] = {}
    for pattern in patterns:
        found.setdefault(Place(PATTERN, pattern).anchor or "", []).append(one(pattern))
    return [
        (f"{anchor}/" if anchor else "", f"{anchor}0" if anchor else "~", "|".join(expressions))
        for anchor, expressions in found.items()
    ]
