"""What can be wrong with who asks."""

from entrepot.errors import RateLimited, Unauthenticated


class CredentialsInvalid(Unauthenticated):
    pass


class TokenInvalid(Unauthenticated):
    pass


class TooManyLogins(RateLimited):
    pass
