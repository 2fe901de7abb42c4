"""What can be wrong with who asks."""

from entrepot.errors import Conflict, Denied, Invalid, NotFound, RateLimited, Unauthenticated, Unavailable


class CredentialsInvalid(Unauthenticated):
    code = "credentials_invalid"


class AccountDisabled(Unauthenticated):
    """The password may be right; the account is disabled, locked or expired."""

    code = "account_disabled"


class AccountLocked(AccountDisabled):
    """A directory said so before it looked at the password: only for the log, or anybody could ask who exists."""

    code = "account_locked"


class TokenInvalid(Unauthenticated):
    code = "token_invalid"


class TokenExpired(TokenInvalid):
    """It was good once, and clients get a new one: nothing that the audit log has to know."""

    code = "token_expired"


class TooManyLogins(RateLimited):
    code = "too_many_logins"


class LoginDelayed(RateLimited):
    """Too many wrong passwords: the next try has to wait."""

    code = "login_delayed"


class TooManyDeviceLogins(RateLimited):
    """No other login on a device may begin until one of those under way ends."""

    code = "too_many_device_logins"


class ProviderUnavailable(Unavailable):
    """An identity provider does not answer."""

    code = "provider_unavailable"


class UserUnknown(NotFound):
    code = "user_unknown"


class GroupUnknown(NotFound):
    code = "group_unknown"


class TokenUnknown(NotFound):
    code = "token_unknown"


class NameTaken(Conflict):
    code = "name_taken"


class PasswordTooWeak(Invalid):
    code = "password_too_weak"


class ProviderUnknown(NotFound):
    """No provider of this name, or not of the kind that is asked for."""

    code = "provider_unknown"


class LoginUnknown(Invalid):
    """The login that is to be finished was never started, is finished already, or took too long."""

    code = "login_unknown"


class PasswordWrong(Denied):
    """Who is signed in already gave a wrong password to confirm something with."""

    code = "password_wrong"


class LastAdministrator(Conflict):
    """Nobody could administer the registry any more."""

    code = "last_administrator"


class ProviderDecides(Conflict):
    """What is asked for is for the user's or the group's provider to do."""

    code = "provider_decides"


class TrustRuleUnknown(NotFound):
    code = "trust_rule_unknown"
