"""What `rights.Rights.allows` says of one repository, as a filter for a list of them."""

import json

from sqlalchemy import ColumnElement, false, literal, or_, select, true

from entrepot.access.places import expression
from entrepot.access.rights import Visible
from entrepot.database import dialect


def within(name: ColumnElement[str], visible: Visible, *, dialect_name: str) -> ColumnElement[bool]:
    """Whether the repository of this name is visible."""
    if visible.everything:
        return true()
    conditions: list[ColumnElement[bool]] = []
    for paths, below in ((visible.namespaces, True), (visible.repositories, False)):
        if paths:
            # One parameter however many paths there are: both databases limit their number.
            value = dialect.elements(json.dumps(paths), dialect_name)
            there = name == value
            if below:
                there = or_(there, (name > value + "/") & (name < value + "0"))
            conditions.append(select(literal(1)).where(there).exists())
    conditions += [name.regexp_match(expression(pattern)) for pattern in visible.patterns]
    return or_(*conditions) if conditions else false()
