"""Writes down what only helps with later logins."""

import logging
from collections.abc import Callable
from typing import TypeVarTuple

from sqlalchemy import Connection

from entrepot.app import App
from entrepot.errors import Unavailable

Ts = TypeVarTuple("Ts")
log = logging.getLogger(__name__)


async def write(app: App, function: Callable[[Connection, *Ts], object], *args: *Ts) -> None:
    """Write, or log that it could not be written: nobody is kept out because a disk is full."""
    try:
        await app.database.write(function, *args, durable=False)
    except Unavailable as error:
        log.warning("the details of a login could not be written: %s", error.message)
