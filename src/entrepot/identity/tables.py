from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from entrepot.database.base import Id, TimestampMs, ascii_text, metadata

users = Table(
    "users",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("provider", ascii_text(64), nullable=False),
    # What the provider calls the user for good; for the registry's own users and robots, the name.
    Column("subject", ascii_text(255), nullable=False),
    Column("name", ascii_text(255), nullable=False),
    Column("display_name", String(255), nullable=False, default=""),
    Column("email", String(255), nullable=False, default=""),
    Column("password_hash", String(255)),
    Column("administrator", Boolean, nullable=False, default=False),
    Column("disabled", Boolean, nullable=False, default=False),
    # The provider does not know the user any more, or has disabled it.
    Column("gone", Boolean, nullable=False, default=False),
    # Of a robot: the user who disabled it, who may be gone. No foreign key: numbers are never used again.
    Column("disabled_by", Id),
    # The user that this one is another login of.
    Column("linked_to", Id, ForeignKey("users.id")),
    # Who answers for a robot.
    Column("owner_id", Id, ForeignKey("users.id")),
    # In every bearer token: those of an earlier epoch are over.
    Column("epoch", Id, nullable=False, default=0),
    Column("created_at_ms", TimestampMs, nullable=False),
    # When the provider was last asked about the user.
    Column("refreshed_at_ms", TimestampMs),
    UniqueConstraint("provider", "subject"),
    UniqueConstraint("provider", "name"),
    Index(None, "linked_to"),
    Index(None, "owner_id"),
    Index("ix_users_refreshed_at_ms", "provider", "gone", "refreshed_at_ms"),
    # A number is never used again: what remembers it must not take another for it.
    sqlite_autoincrement=True,
)

groups = Table(
    "groups",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("provider", ascii_text(64), nullable=False),
    Column("name", ascii_text(255), nullable=False),
    Column("description", String(255), nullable=False),
    Column("created_at_ms", TimestampMs, nullable=False),
    UniqueConstraint("provider", "name"),
    # A number is never used again: what remembers it must not take another for it.
    sqlite_autoincrement=True,
)

group_members = Table(
    "group_members",
    metadata,
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("group_id", Id, ForeignKey("groups.id", ondelete="CASCADE"), nullable=False),
    PrimaryKeyConstraint("user_id", "group_id"),
    Index(None, "group_id"),
    sqlite_with_rowid=False,
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", ascii_text(16), primary_key=True),
    # personal, robot or refresh
    Column("kind", ascii_text(16), nullable=False),
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("name", String(255), nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),
    # A refresh token that was got with another token goes with it.
    Column("parent_id", ascii_text(16), ForeignKey("tokens.id", ondelete="CASCADE")),
    # JSON: what the token is limited to, null for as far as its owner reaches
    Column("limits", Text),
    Column("created_at_ms", TimestampMs, nullable=False),
    Column("expires_at_ms", TimestampMs),
    Column("used_at_ms", TimestampMs),
    Column("used_address", ascii_text(64)),
    Index("ix_tokens_user_id", "user_id", "id"),
    Index(None, "parent_id"),
    Index(None, "expires_at_ms"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id_hash", LargeBinary, primary_key=True),
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("provider", ascii_text(64), nullable=False),
    # The provider's own names for the session and the user, for back-channel logout.
    Column("provider_session", ascii_text(255), nullable=False),
    Column("provider_subject", ascii_text(255), nullable=False),
    Column("id_token", Text, nullable=False),
    Column("address", ascii_text(64), nullable=False),
    Column("created_at_ms", TimestampMs, nullable=False),
    Column("expires_at_ms", TimestampMs, nullable=False),
    Index(None, "user_id"),
    Index(None, "provider", "provider_subject"),
    Index(None, "expires_at_ms"),
)

used_logins = Table(
    "used_logins",
    metadata,
    # Logins in a browser that have succeeded, until their cookies are no good any more.
    Column("state_hash", LargeBinary, primary_key=True),
    Column("expires_at_ms", TimestampMs, nullable=False),
    Index(None, "expires_at_ms"),
)

device_logins = Table(
    "device_logins",
    metadata,
    # While a device shows its code.
    Column("id_hash", LargeBinary, primary_key=True),
    Column("provider", ascii_text(64), nullable=False),
    # Where the device is: what it is counted by.
    Column("network", ascii_text(64), nullable=False),
    # The provider's; empty until it has answered.
    Column("device_code", Text, nullable=False),
    Column("interval_seconds", Id, nullable=False),
    # When the provider may be asked again.
    Column("next_at_ms", TimestampMs, nullable=False),
    Column("expires_at_ms", TimestampMs, nullable=False),
    Index(None, "network"),
    Index(None, "expires_at_ms"),
)

login_failures = Table(
    "login_failures",
    metadata,
    Column("key", ascii_text(400), primary_key=True),
    Column("count", Id, nullable=False),
    Column("last_at_ms", TimestampMs, nullable=False),
    # Stands for the name and the password of the last try, by a key that is not in the database.
    Column("attempt", LargeBinary),
    Index(None, "last_at_ms"),
)

trust_rules = Table(
    "trust_rules",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("robot_id", Id, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("provider", ascii_text(64), nullable=False),
    Column("audience", String(255), nullable=False),
    # JSON: claim to pattern
    Column("claims", Text, nullable=False),
    Column("created_at_ms", TimestampMs, nullable=False),
    Index(None, "provider"),
    Index(None, "robot_id"),
    # A number is never used again: what remembers it must not take another for it.
    sqlite_autoincrement=True,
)
