"""Passwords of directories' users."""

from entrepot.actions.signing_in import external_users, failures
from entrepot.app import App
from entrepot.identity.errors import CredentialsInvalid, ProviderUnavailable
from entrepot.identity.users import User


async def check(app: App, name: str, password: str) -> User:
    """Ask the directories in order. One that does not answer is passed over, unless nobody else knows the name."""
    unavailable: ProviderUnavailable | None = None
    for directory in app.providers.directories:
        try:
            known = await directory.authenticate(name, password)
        except CredentialsInvalid:
            # In the same words as for everybody.
            raise failures.wrong_password() from None
        except ProviderUnavailable as error:
            unavailable = unavailable or error
            continue
        if known is not None:
            return await external_users.provision(app, directory.name, known)
    if unavailable is not None:
        raise unavailable
    raise failures.wrong_password()
