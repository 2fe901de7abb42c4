"""What `rights.Rights.allows` says of one repository, as a filter for a list of them."""

import json

from sqlalchemy import ColumnElement, false, literal, or_, select, true

from entrepot.access.places import expression, plain_expression
from entrepot.access.rights import Visible
from entrepot.database import dialect


def within(name: ColumnElement[str], visible: Visible, *, dialect_name: str) -> ColumnElement[bool]:
    """Whether the repository of this name is visible."""
    if visible.everything:
        return true()
    conditions: list[ColumnElement[bool]] = []
    for texts, holds in (
        (visible.namespaces, _is_in),
        (visible.repositories, _is),
        ([_expression(pattern, dialect_name) for pattern in visible.patterns], _fits),
    ):
        if texts:
            # One parameter however many texts there are: both databases limit their number.
            text = dialect.elements(json.dumps(texts), dialect_name)
            conditions.append(select(literal(1)).where(holds(name, text)).exists())
    return or_(*conditions) if conditions else false()


def _is(name: ColumnElement[str], repository: ColumnElement[str]) -> ColumnElement[bool]:
    return name == repository


def _is_in(name: ColumnElement[str], namespace: ColumnElement[str]) -> ColumnElement[bool]:
    # "0" is what comes after "/".
    return or_(name == namespace, (name > namespace + "/") & (name < namespace + "0"))


def _fits(name: ColumnElement[str], expression: ColumnElement[str]) -> ColumnElement[bool]:
    return name.regexp_match(expression)


def _expression(pattern: str, dialect_name: str) -> str:
    return plain_expression(pattern) if dialect_name == "postgresql" else expression(pattern)
