"""The one list of what was handed out to who signed in as a user, and ends with the login.

Personal and robot tokens are not in it: they are revoked by themselves, and are refused while their user is.
"""

from sqlalchemy import Connection

from entrepot.identity import sessions, tokens, users
from entrepot.identity.users import User


def end(connection: Connection, user: User) -> None:
    """End the user's browser sessions, refresh and bearer tokens, and the account's if it is another login of one.

    Which of the account's were got by this login is not known, so all of them end: who is still let in signs in again.
    """
    ended = {user.id, user.linked_to or user.id}
    for user_id in ended:
        sessions.end_of_user(connection, user_id)
        tokens.remove_of_user(connection, user_id, tokens.REFRESH)
    users.end_bearers(connection, ended)
