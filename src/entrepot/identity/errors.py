"""What can be wrong with who asks."""

from entrepot.errors import Conflict, Denied, Invalid, NotFound, RateLimited, Unauthenticated, Unavailable


class CredentialsInvalid(Unauthenticated):
    pass


class AccountDisabled(Unauthenticated):
    """The password may be right; the account is disabled, locked or expired."""


class AccountLocked(AccountDisabled):
    """A directory said so before it looked at the password: only for the log, or anybody could ask who exists."""


class TokenInvalid(Unauthenticated):
    pass


class TokenExpired(TokenInvalid):
    """It was good once, and clients get a new one: nothing that the audit log has to know."""


class TooManyLogins(RateLimited):
    pass


class LoginDelayed(RateLimited):
    """Too many wrong passwords: the next try has to wait."""


class TooManyDeviceLogins(RateLimited):
    """No other login on a device may begin until one of those under way ends."""


class ProviderUnavailable(Unavailable):
    """An identity provider does not answer."""


class UserUnknown(NotFound):
    pass


class GroupUnknown(NotFound):
    pass


class TokenUnknown(NotFound):
    pass


class NameTaken(Conflict):
    pass


class PasswordTooWeak(Invalid):
    pass


class ProviderUnknown(NotFound):
    """No provider of this name, or not of the kind that is asked for."""


class LoginUnknown(Invalid):
    """The login that is to be finished was never started, is finished already, or took too long."""


class PasswordWrong(Denied):
    """Who is signed in already gave a wrong password to confirm something with."""


class LastAdministrator(Conflict):
    """Nobody could administer the registry any more."""


class ProviderDecides(Conflict):
    """What is asked for is for the user's or the group's provider to do."""


class TrustRuleUnknown(NotFound):
    pass
