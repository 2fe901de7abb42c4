"""Whether somebody who has shown who they are may sign in."""

from entrepot.app import App
from entrepot.identity.errors import AccountDisabled, TokenInvalid
from entrepot.identity.users import User

DAY_MS = 24 * 3600 * 1000


def require(app: App, user: User) -> None:
    """Raises AccountDisabled, and TokenInvalid for who has to sign in by the provider again."""
    days = app.providers.sign_in_again_days(user.provider)
    if days and (user.refreshed_at_ms or 0) < app.clock() - days * DAY_MS:
        raise TokenInvalid(
            f"{user.name} has not signed in with {user.provider} for {days} days: sign in again, in a browser or "
            "with entrepot login"
        )
    if user.gone:
        raise AccountDisabled(f"the provider {user.provider} no longer knows {user.name}, or has disabled the user")
    if user.disabled:
        raise AccountDisabled(f"{user.name} is disabled in this registry: ask an administrator")
