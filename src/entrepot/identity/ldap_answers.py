"""What a directory's answers mean: result codes (RFC 4511, A.1), Active Directory's sub-codes, password policies.

Messages of CredentialsInvalid and AccountDisabled are for who signs in; all others are for who operates the registry.
"""

import re
from dataclasses import dataclass
from enum import IntEnum

from entrepot.identity.errors import AccountDisabled, AccountLocked, CredentialsInvalid

DIAGNOSTICS_CHARACTERS_MAX = 200


class Code(IntEnum):
    """Result codes that are treated differently from "something is wrong"."""

    SUCCESS = 0
    OPERATIONS_ERROR = 1
    TIME_LIMIT = 3
    SIZE_LIMIT = 4
    STRONGER_AUTHENTICATION = 8
    REFERRAL = 10
    ADMIN_LIMIT = 11
    CONFIDENTIALITY = 13
    CONSTRAINT = 19
    NO_SUCH_OBJECT = 32
    INVALID_DN = 34
    INAPPROPRIATE_AUTHENTICATION = 48
    INVALID_CREDENTIALS = 49
    INSUFFICIENT_ACCESS = 50
    BUSY = 51
    UNAVAILABLE = 52
    UNWILLING = 53


ANOTHER_SERVER_MAY = frozenset({Code.BUSY, Code.UNAVAILABLE})
"""This server cannot now; that it says so is as if it did not answer."""

ADVICE = {
    Code.OPERATIONS_ERROR: "it requires a bind first: set bind_dn and its password",
    Code.TIME_LIMIT: "the search takes too long: index what user_filter and group_filter compare, or narrow the bases",
    Code.ADMIN_LIMIT: "the search exceeds a limit of the server: index what the filters compare, or narrow the bases",
    Code.STRONGER_AUTHENTICATION: "it requires encryption: set start_tls, or use ldaps://",
    Code.CONFIDENTIALITY: "it requires encryption: set start_tls, or use ldaps://",
    Code.REFERRAL: "it refers to another server, and referrals are not followed: name that server in urls",
    Code.NO_SUCH_OBJECT: "there is no such base, or bind_dn may not see it: check user_base and group_base",
    Code.INVALID_DN: "a distinguished name is malformed: check bind_dn, user_bind, user_base and group_base",
    Code.INVALID_CREDENTIALS: "check bind_dn and its password",
    Code.INAPPROPRIATE_AUTHENTICATION: "it does not support this kind of bind: check bind_dn",
    Code.INSUFFICIENT_ACCESS: "it does not allow this: check what bind_dn, or the user, may read",
    Code.UNWILLING: "its configuration does not allow this",
}

WRONG = "the name or the password is wrong"
DISABLED = "the account is disabled in the directory: ask its administrator"
LOCKED = "the account is locked in the directory: wait, or ask its administrator"
EXPIRED = "the account has expired in the directory: ask its administrator"
PASSWORD_EXPIRED = "the password has expired: change it where you change your directory password"  # noqa: S105
PASSWORD_MUST_CHANGE = "the password must be changed first: change it where you change your directory password"  # noqa: S105
NOT_NOW = "the directory does not let this account sign in at this time, or from here"

AD_UNKNOWN = "525"
AD_REFUSALS = {
    "530": NOT_NOW,
    "531": NOT_NOW,
    "532": PASSWORD_EXPIRED,
    "533": DISABLED,
    "701": EXPIRED,
    "773": PASSWORD_MUST_CHANGE,
    "775": LOCKED,
}
"""The sub-code, a hexadecimal Windows error, in the diagnostics of a refused bind."""
_AD_DATA = re.compile(r"\bdata ([0-9a-f]{2,8})\b", re.IGNORECASE)

POLICY_REFUSALS = {0: PASSWORD_EXPIRED, 1: LOCKED, 2: PASSWORD_MUST_CHANGE}
"""Errors of the password policy control (draft-behera-ldap-password-policy, 6.2)."""


@dataclass(frozen=True, slots=True)
class BindAnswer:
    """`policy_error` is the password policy control's, None where there is none."""

    code: int
    diagnostics: str = ""
    policy_error: int | None = None


class Refused(Exception):
    """The server answers, and not with what was asked for. `message` says to the operator what to do."""

    def __init__(self, code: int, diagnostics: str, what: str) -> None:
        said = " ".join(diagnostics.split())[:DIAGNOSTICS_CHARACTERS_MAX]
        advice = ADVICE.get(code)  # type: ignore[call-overload]
        super().__init__(
            f"the directory refuses {what} (result {code}{', ' + said if said else ''})"
            f"{': ' + advice if advice else ''}"
        )
        self.code = code

    @property
    def message(self) -> str:
        return str(self)


def admitted(answer: BindAnswer) -> bool:
    """Whether a user's bind succeeded; False: the directory knows no such user.

    Raises CredentialsInvalid, AccountDisabled, AccountLocked, and Refused for everything that is not about this user.
    """
    if answer.code == Code.SUCCESS:
        if answer.policy_error in POLICY_REFUSALS:
            raise AccountDisabled(POLICY_REFUSALS[answer.policy_error])
        return True
    if answer.code == Code.INVALID_CREDENTIALS:
        sub_code = _sub_code(answer.diagnostics)
        if sub_code == AD_UNKNOWN:
            return False
        if sub_code in AD_REFUSALS:
            raise _refusal(AD_REFUSALS[sub_code])
        if answer.policy_error in POLICY_REFUSALS:
            raise _refusal(POLICY_REFUSALS[answer.policy_error])
        raise CredentialsInvalid(WRONG)
    if answer.code == Code.INAPPROPRIATE_AUTHENTICATION:
        raise CredentialsInvalid(WRONG)  # The entry has no password.
    if answer.code == Code.NO_SUCH_OBJECT:
        return False
    # 389 Directory Server and FreeIPA say so of accounts that are inactivated, or locked after too many tries.
    if answer.code == Code.UNWILLING and "inactivated" in answer.diagnostics.lower():
        raise AccountLocked(DISABLED)
    if answer.code == Code.CONSTRAINT and "retry limit" in answer.diagnostics.lower():
        raise AccountLocked(LOCKED)
    raise Refused(answer.code, answer.diagnostics, "a user's bind")


def policy_error(control: bytes) -> int | None:
    """The error in a password policy control's value: SEQUENCE { [0] warning OPTIONAL, [1] error OPTIONAL }."""
    body = control[2:]
    while len(body) >= 2:
        tag, length = body[0], body[1]
        if tag == 0x81 and length == 1 and len(body) >= 3:
            return body[2]
        body = body[2 + length :]
    return None


def _refusal(message: str) -> AccountDisabled:
    """All but locks are said only to who gave the right password."""
    return AccountLocked(message) if message == LOCKED else AccountDisabled(message)


def _sub_code(diagnostics: str) -> str | None:
    found = _AD_DATA.search(diagnostics)
    return found[1].lower() if found else None
