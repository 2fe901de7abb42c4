"""Browsers that are signed in. The cookie's value is known to the browser only; here is its SHA-256."""

import hashlib
import secrets
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, insert, select

from entrepot.database import topics
from entrepot.database.changes import announce
from entrepot.identity.tables import sessions, users
from entrepot.identity.users import end_bearers

VALUE_BYTES = 32
VALUE_CHARACTERS_MAX = 64


@dataclass(frozen=True, slots=True)
class NewSession:
    """What is known when a browser signs in. The provider's names are empty where it has none."""

    user_id: int
    provider: str
    address: str
    provider_session: str = ""
    provider_subject: str = ""
    id_token: str = ""


@dataclass(frozen=True, slots=True)
class Session:
    """A session that is good until `expires_at_ms`, and whose it is."""

    user_id: int
    user_provider: str
    user_name: str
    provider: str
    provider_session: str
    provider_subject: str
    id_token: str
    address: str
    created_at_ms: int
    expires_at_ms: int


def new_value() -> str:
    """For the cookie, and for nothing that is written down."""
    return secrets.token_urlsafe(VALUE_BYTES)


def start(connection: Connection, value: str, session: NewSession, now_ms: int, expires_at_ms: int) -> None:
    """Nothing that is cached can be about a new session."""
    connection.execute(
        insert(sessions),
        {
            "id_hash": hash_of(value),
            "user_id": session.user_id,
            "provider": session.provider,
            "provider_session": session.provider_session[:255],
            "provider_subject": session.provider_subject[:255],
            "id_token": session.id_token,
            "address": session.address[:64],
            "created_at_ms": now_ms,
            "expires_at_ms": expires_at_ms,
        },
    )


def find(connection: Connection, value: str, now_ms: int) -> Session | None:
    """The session of a cookie, while it is good."""
    columns = sessions.c
    statement = (
        select(
            columns.user_id,
            users.c.provider.label("user_provider"),
            users.c.name.label("user_name"),
            columns.provider,
            columns.provider_session,
            columns.provider_subject,
            columns.id_token,
            columns.address,
            columns.created_at_ms,
            columns.expires_at_ms,
        )
        .join(users, users.c.id == columns.user_id)
        .where(columns.id_hash == hash_of(value), columns.expires_at_ms > now_ms)
    )
    row = connection.execute(statement).mappings().one_or_none()
    return None if row is None else Session(**row)


def end(connection: Connection, value: str) -> bool:
    """Sign this browser out; False when it was not signed in."""
    return _end(connection, sessions.c.id_hash == hash_of(value)) > 0


def end_of_user(connection: Connection, user_id: int) -> int:
    """Sign a user out everywhere; answers how many sessions that were."""
    return _end(connection, sessions.c.user_id == user_id)


def end_of_provider(
    connection: Connection, provider: str, provider_subject: str, provider_session: str, started_before_ms: int
) -> int:
    """End what a provider says has ended: one session, or all of a subject. Answers how many.

    Only sessions from before that moment: the provider's message may be sent again by somebody else.
    """
    columns = sessions.c
    conditions = [columns.provider == provider, columns.created_at_ms < started_before_ms]
    if provider_session:
        conditions.append(columns.provider_session == provider_session)
    if provider_subject or not provider_session:
        conditions.append(columns.provider_subject == provider_subject)
    return _end(connection, *conditions)


def expire(connection: Connection, now_ms: int) -> int:
    """Forget sessions that are over; answers how many. Nobody who remembers one takes it for good any more."""
    return connection.execute(delete(sessions).where(sessions.c.expires_at_ms <= now_ms)).rowcount


def hash_of(value: str) -> bytes:
    """What a session is kept, and may be cached, under."""
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()


def _end(connection: Connection, *conditions: ColumnElement[bool]) -> int:
    """With the sessions end the bearer tokens that may have been got with them."""
    ended = connection.execute(delete(sessions).where(*conditions).returning(sessions.c.user_id)).scalars().all()
    if ended:
        announce(connection, topics.SESSIONS)
        end_bearers(connection, set(ended))
    return len(ended)
