"""People who sign in by an OpenID provider on another device, as `entrepot login` asks them to."""

from dataclasses import dataclass

from entrepot.actions.signing_in import sessions
from entrepot.actions.signing_in.sessions import Finished
from entrepot.app import App
from entrepot.identity import device_logins
from entrepot.identity.device_logins import DeviceLoginLimits
from entrepot.identity.errors import CredentialsInvalid, LoginUnknown, ProviderUnavailable, TokenInvalid
from entrepot.identity.oidc import DEVICE_INTERVAL_SECONDS, DeviceStart, SignedIn, Waiting
from entrepot.principal import Origin


@dataclass(frozen=True, slots=True)
class DeviceLogin:
    """What a device shows, and the secret that it asks with."""

    secret: str
    shown: DeviceStart


async def start(app: App, provider: str, origin: Origin) -> DeviceLogin:
    """Raises ProviderUnknown, TooManyDeviceLogins, ProviderUnavailable."""
    party, settings = app.providers.relying_party(provider), app.settings.login
    limits = DeviceLoginLimits(settings.device_logins_per_address_max, settings.device_logins_max)
    # Most who are too many learn it here, and wait for nobody.
    await app.database.read(device_logins.check, origin.address, limits, app.clock())
    secret = device_logins.new_secret()
    await app.database.write(
        device_logins.reserve, secret, provider, origin.address, limits, app.clock(), durable=False
    )
    shown = await party.start_device()
    now_ms = app.clock()
    expires_at_ms = now_ms + shown.expires_in * 1000
    if not await app.database.write(
        device_logins.begin, secret, shown.device_code, shown.interval, now_ms, expires_at_ms, durable=False
    ):
        raise ProviderUnavailable("the provider took too long to start a login on a device: start it again")
    return DeviceLogin(secret, shown)


async def poll(app: App, provider: str, secret: str, origin: Origin) -> Finished | Waiting:
    """Ask the provider, no more often than it said. Raises what `browser_logins.finish` raises."""
    party, now_ms = app.providers.relying_party(provider), app.clock()
    next_at_ms = await app.database.look_up(device_logins.next_at_ms, secret, provider, now_ms)
    if next_at_ms is None:
        raise LoginUnknown("this login was not started here, is already finished, or took too long: start it again")
    if now_ms < next_at_ms:
        return Waiting.SLOW_DOWN
    device_code = await app.database.write(device_logins.take_turn, secret, provider, now_ms, durable=False)
    if device_code is None:
        return Waiting.SLOW_DOWN
    try:
        answer = await party.poll_device(device_code)
    except (CredentialsInvalid, TokenInvalid) as error:
        await app.database.write(device_logins.end, secret, durable=False)
        await sessions.note_failure(app, provider, origin, error.message)
        raise
    if isinstance(answer, SignedIn):
        await app.database.write(device_logins.end, secret, durable=False)
        return await sessions.begin_by_provider(app, provider, answer, origin, "")
    if answer is Waiting.SLOW_DOWN:
        await app.database.write(device_logins.slow_down, secret, DEVICE_INTERVAL_SECONDS, durable=False)
    return answer
