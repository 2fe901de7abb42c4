# ruff: noqa: S105 (names of acts, not passwords)
"""What an act can be. Records, and whatever follows an act, know it by these names, which never change."""

from enum import StrEnum


class Action(StrEnum):
    """`kind:verb`. A refusal is recorded under the permission that was missing, if that is all that was asked for."""

    # Content
    MANIFEST_PUSH = "manifest:push"
    MANIFEST_PULL = "manifest:pull"
    MANIFEST_DELETE = "manifest:delete"
    TAG_MOVE = "tag:move"
    TAG_DELETE = "tag:delete"
    BLOB_PUSH = "blob:push"
    BLOB_PULL = "blob:pull"
    BLOB_MOUNT = "blob:mount"
    BLOB_DELETE = "blob:delete"

    # Signing in and out
    LOGIN_PASSWORD = "login:password"
    LOGIN_TOKEN = "login:token"
    LOGIN_BEARER = "login:bearer"
    LOGIN_REFRESH = "login:refresh"
    LOGIN_OIDC = "login:oidc"
    LOGIN_WORKLOAD = "login:workload"
    LOGIN_CERTIFICATE = "login:certificate"
    LOGIN_SESSION = "login:session"
    LOGOUT_SESSION = "logout:session"
    LOGOUT_PROVIDER = "logout:provider"
    REQUEST_LIMIT = "request:limit"

    # Accounts and their credentials
    USER_CREATE = "user:create"
    USER_CHANGE = "user:change"
    USER_ENABLE = "user:enable"
    USER_DISABLE = "user:disable"
    USER_LINK = "user:link"
    USER_DELETE = "user:delete"
    PASSWORD_CHANGE = "password:change"
    PASSWORD_CONFIRM = "password:confirm"
    PASSWORD_RESET = "password:reset"
    TOKEN_ISSUE = "token:issue"
    TOKEN_CREATE = "token:create"
    TOKEN_ROTATE = "token:rotate"
    TOKEN_REVOKE = "token:revoke"
    ROBOT_CREATE = "robot:create"
    ROBOT_CHANGE = "robot:change"
    ROBOT_ENABLE = "robot:enable"
    ROBOT_DISABLE = "robot:disable"
    ROBOT_DELETE = "robot:delete"
    TRUST_CREATE = "trust:create"
    TRUST_DELETE = "trust:delete"
    GROUP_PUT = "group:put"
    GROUP_DELETE = "group:delete"
    GROUP_ADD_MEMBER = "group:add-member"
    GROUP_REMOVE_MEMBER = "group:remove-member"

    # Who may do what
    ROLE_PUT = "role:put"
    ROLE_DELETE = "role:delete"
    GRANT_CREATE = "grant:create"
    GRANT_DELETE = "grant:delete"
    NAMESPACE_VISIBILITY = "namespace:visibility"

    # The registry itself
    AUDIT_READ = "audit:read"
    AUDIT_EXPORT = "audit:export"
    AUDIT_ACCEPT_RESTORED = "audit:accept-restored"
    AUDIT_UNREADABLE = "audit:unreadable"
    KEYS_ROTATE = "keys:rotate"
    KEYS_ADOPT = "keys:adopt"
    STORAGE_ADOPT = "storage:adopt"

    # By its text, also in C: the library's own is by the member's name, and in Python, for each pull.
    __hash__ = str.__hash__
