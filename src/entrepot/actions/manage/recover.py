"""Letting a user in again whom nobody can let in by the API: for who has the data directory."""

from sqlalchemy import Connection

from entrepot.identity import handed_out, lockout, users
from entrepot.identity.users import LOCAL


def reset_password(
    connection: Connection, name: str, password_hash: str, now_ms: int, *, administrator: bool = False
) -> None:
    """Give a local user this password and let the user in: enabled, itself and nobody else's login, without delay.

    With `administrator` the user is one from then on, and is made if need be. Sessions and refresh tokens end. Raises
    UserUnknown.
    """
    user = users.find(connection, LOCAL, name)
    if user is None and administrator:
        users.add(connection, LOCAL, name, password_hash=password_hash, administrator=True, now_ms=now_ms)
    else:
        user = users.require(connection, LOCAL, name)
        kept = user.administrator or administrator
        users.change(
            connection,
            user,
            password_hash=password_hash,
            administrator=kept,
            disabled=False,
            gone=False,
            linked_to=None,
        )
        handed_out.end(connection, user)
    lockout.forget(connection, name)
