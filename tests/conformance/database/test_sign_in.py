"""Who somebody is by a password or a token: the registry's own users first, then the directories in their order."""

import asyncio
import hashlib
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from sqlalchemy import Connection, select

from entrepot.actions import accounts
from entrepot.actions.manage import users as manage_users
from entrepot.actions.signing_in import bearer_tokens, credentials, sessions, stored_tokens
from entrepot.actions.signing_in.workloads import WORKLOAD
from entrepot.app import App, open_app
from entrepot.audit.tables import audit_pending
from entrepot.clock import system_clock
from entrepot.database import topics
from entrepot.errors import Invalid
from entrepot.identity import groups, lockout, passwords, tokens, users, workloads
from entrepot.identity.errors import (
    AccountDisabled,
    CredentialsInvalid,
    LoginDelayed,
    ProviderUnavailable,
    TokenInvalid,
    TooManyLogins,
)
from entrepot.identity.external import ExternalUser
from entrepot.identity.providers import Provider, Providers
from entrepot.identity.tables import login_failures
from entrepot.identity.tokens import PERSONAL, REFRESH
from entrepot.identity.users import User
from entrepot.lifecycle import accounts as lifecycle
from entrepot.principal import Caller, Limit, Origin, Principal
from entrepot.settings import DatabaseSettings, LoginSettings, Settings
from entrepot.telemetry.metrics import Metrics
from tests.conformance.database.content import NOW_MS
from tests.fakes.directory import FakeDirectory

pytestmark = pytest.mark.anyio

PASSWORD, OTHER_PASSWORD = "a password of her own", "another password of hers"
PASSWORD_HASH = passwords.hash_password(PASSWORD)
FREE = 3
HERE, ELSEWHERE = Origin("192.0.2.1", "docker/28", "r1"), Origin("198.51.100.1", "docker/28", "r2")
ALICE = ExternalUser("uuid-alice", "alice", "Alice", "alice@example.test", ("developers",))


@dataclass
class Registry:
    """A worker of a registry with two directories, at a time that tests set."""

    app: App
    first: FakeDirectory
    second: FakeDirectory
    now_ms: list[int]

    def wait(self, seconds: float) -> None:
        self.now_ms[0] += int(seconds * 1000)

    async def sign_in(self, name: str, password: str, origin: Origin = HERE) -> Principal:
        return await credentials.verify_password(self.app, name, password, origin)

    async def local(self, name: str, **values: Any) -> User:
        def add(connection: Connection) -> User:
            return users.add(connection, users.LOCAL, name, password_hash=PASSWORD_HASH, now_ms=NOW_MS, **values)

        return await self.app.database.write(add)

    async def change(self, user: User, **values: Any) -> None:
        await self.app.database.write(lambda connection: users.change(connection, user, **values))

    async def user(self, provider: str, name: str) -> User:
        return await self.app.database.read(users.require, provider, name)

    async def token(self, user: User, limits: tuple[Limit, ...] | None = None, seconds: int = 3600) -> str:
        _, text = await self.app.database.write(
            partial(tokens.add, limits=limits, expires_at_ms=self.now_ms[0] + seconds * 1000, now_ms=self.now_ms[0]),
            PERSONAL,
            user,
            "laptop",
        )
        return text

    async def records(self, action: str) -> list[dict[str, Any]]:
        def read(connection: Connection) -> list[str]:
            return list(connection.execute(select(audit_pending.c.record).order_by(audit_pending.c.id)).scalars())

        found = [json.loads(record) for record in await self.app.database.read(read)]
        return [record for record in found if record["action"] == action]

    async def refused(self, name: str, password: str, origin: Origin = HERE) -> type[Exception]:
        """How a login is refused."""
        try:
            principal = await self.sign_in(name, password, origin)
        except (CredentialsInvalid, AccountDisabled, LoginDelayed, ProviderUnavailable, TokenInvalid) as error:
            return type(error)
        raise AssertionError(f"{principal} was signed in")


def _directories(*directories: FakeDirectory) -> Providers:
    return Providers({one.name: Provider(one.name, "ldap", directory=one) for one in directories})


@pytest.fixture
async def registry(url: str, tmp_path: Path) -> AsyncIterator[Registry]:
    settings = Settings(
        data=tmp_path / "data",
        database=DatabaseSettings(url=url),
        login=LoginSettings(failures_free=FREE, delay_seconds_max=60),
    )
    # Bearer tokens are verified by the machine's own clock.
    now_ms = [system_clock()]
    async with AsyncExitStack() as opened:
        app = await opened.enter_async_context(open_app(settings, Metrics(), lambda: now_ms[0]))
        first, second = FakeDirectory("first"), FakeDirectory("second")
        at_once = passwords.Verifier(failure_seconds=0)
        opened.callback(at_once.close)
        yield Registry(replace(app, providers=_directories(first, second), passwords=at_once), first, second, now_ms)


# Whom is asked.


async def test_directories_are_asked_in_order_and_the_first_that_knows_the_name_decides(registry: Registry) -> None:
    registry.first.put(ALICE, PASSWORD)
    registry.second.put(ALICE, OTHER_PASSWORD)
    registry.second.put(ExternalUser("uuid-bob", "bob"), PASSWORD)

    assert (await registry.sign_in("alice", PASSWORD)).key == "first:alice"
    assert await registry.refused("alice", OTHER_PASSWORD) is CredentialsInvalid
    assert registry.second.asked == []
    assert (await registry.sign_in("bob", PASSWORD)).key == "second:bob"
    assert await registry.refused("carol", PASSWORD) is CredentialsInvalid


async def test_own_user_comes_before_all_directories_whatever_the_password(registry: Registry) -> None:
    await registry.local("alice")
    registry.first.put(ALICE, OTHER_PASSWORD)

    assert (await registry.sign_in("alice", PASSWORD)).key == "local:alice"
    assert await registry.refused("alice", OTHER_PASSWORD) is CredentialsInvalid
    assert registry.first.asked == []


async def test_directory_that_is_silent_is_passed_over_unless_nobody_else_knows_the_name(registry: Registry) -> None:
    registry.first.silent = True
    registry.second.put(ALICE, PASSWORD)
    await registry.local("carol")

    assert (await registry.sign_in("alice", PASSWORD)).key == "second:alice"
    assert await registry.refused("alice", OTHER_PASSWORD) is CredentialsInvalid
    assert await registry.refused("bob", PASSWORD) is ProviderUnavailable
    assert (await registry.sign_in("carol", PASSWORD)).key == "local:carol"
    # What nobody could check is nobody's wrong password.
    for _ in range(FREE + 1):
        assert await registry.refused("bob", PASSWORD) is ProviderUnavailable


@pytest.mark.parametrize("name", ["robot+ci", "a\x00b", "a" * 256, "", " "])
async def test_name_that_is_no_persons_is_refused(registry: Registry, name: str) -> None:
    assert await registry.refused(name, PASSWORD) is CredentialsInvalid
    assert set(registry.first.asked) <= {"", " "}


# What becomes of a directory's user.


async def test_user_is_provisioned_at_the_first_login_and_kept_up_to_date(registry: Registry) -> None:
    registry.first.put(ALICE, PASSWORD)
    await registry.sign_in("alice", PASSWORD)
    user = await registry.user("first", "alice")
    assert (user.subject, user.display_name, user.email) == ("uuid-alice", "Alice", "alice@example.test")
    assert list((await registry.app.database.read(groups.of_user, user.id)).values()) == ["first:developers"]

    registry.first.put(replace(ALICE, display_name="A\x00lice B", groups=("testers", "\x00", "", "a" * 256)), PASSWORD)
    registry.wait(61)
    await registry.sign_in("alice", PASSWORD)
    changed = await registry.user("first", "alice")
    assert (changed.id, changed.display_name) == (user.id, "Alice B")
    assert list((await registry.app.database.read(groups.of_user, user.id)).values()) == ["first:testers"]


async def test_first_logins_at_the_same_time_make_one_user(registry: Registry) -> None:
    registry.first.put(ALICE, PASSWORD)
    origins = [HERE._replace(address=f"192.0.2.{number}") for number in range(8)]

    signed_in = await asyncio.gather(*(registry.sign_in("alice", PASSWORD, origin) for origin in origins))

    assert {principal.key for principal in signed_in} == {"first:alice"}


async def test_renamed_user_is_the_same_and_the_name_becomes_another_users(registry: Registry) -> None:
    registry.first.put(ALICE, PASSWORD)
    await registry.sign_in("alice", PASSWORD)
    alice = await registry.user("first", "alice")
    text = await registry.token(alice)
    assert (await stored_tokens.check(registry.app, text, HERE, "alice")).key == "first:alice"

    registry.first.remove("alice")
    registry.first.put(ExternalUser("uuid-other", "alice"), OTHER_PASSWORD)
    registry.wait(61)
    newcomer = await registry.sign_in("alice", OTHER_PASSWORD)
    assert newcomer.user_id != alice.id
    # While the directory has not said that the former alice is gone, the name is hers; what she was granted, always.
    assert newcomer.name.startswith("alice~")
    assert (await registry.user("first", "alice")).id == alice.id
    assert (await stored_tokens.check(registry.app, text, HERE, "alice")).user_id == alice.id

    await registry.app.database.write(partial(users.change, gone=True), alice)
    registry.wait(61)
    other = await registry.sign_in("alice", OTHER_PASSWORD)
    assert (other.user_id, other.name) == (newcomer.user_id, "alice")
    # The former alice's token is not the new one's, and the former one is not there any more.
    await until_refused(registry, text, "alice")

    registry.first.put(replace(ALICE, name="alice.b"), PASSWORD)
    await registry.sign_in("alice.b", PASSWORD)
    assert (await registry.user("first", "alice.b")).id == alice.id
    # Soon, over PostgreSQL: the former name's news may come last.
    for _ in range(500):
        registry.app.caches.refresh()
        with suppress(TokenInvalid, AccountDisabled):
            assert (await stored_tokens.check(registry.app, text, HERE, "alice.b")).key == "first:alice.b"
            break
        await asyncio.sleep(0.01)
    else:
        raise AssertionError("the token is not taken under the new name")


async def until_refused(registry: Registry, text: str, name: str | None = None) -> None:
    """Soon, over PostgreSQL: the news has to come first."""
    for _ in range(500):
        registry.app.caches.refresh()
        try:
            # As a bearer token, which a stored one may be too, or as a password.
            if name is None:
                await credentials.verify_bearer(registry.app, text, HERE)
            else:
                await stored_tokens.check(registry.app, text, HERE, name)
        except (TokenInvalid, AccountDisabled):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the token is still taken")


@pytest.mark.parametrize("name", ["", "a:b", "a b", "a\x00", "a" * 256])
async def test_name_of_a_directory_that_cannot_be_kept_is_refused(registry: Registry, name: str) -> None:
    """Neither as a new user's nor as the new name of a known one."""
    with pytest.raises(Invalid):
        await registry.app.database.write(users.provision, "first", replace(ALICE, name=name), NOW_MS)
    await registry.app.database.write(users.provision, "first", ALICE, NOW_MS)
    with pytest.raises(Invalid):
        await registry.app.database.write(users.provision, "first", replace(ALICE, name=name), NOW_MS)


@pytest.mark.parametrize("subject", ["", "s" * 256, "a\x00"])
async def test_subject_of_a_directory_that_cannot_be_kept_is_refused(registry: Registry, subject: str) -> None:
    with pytest.raises(Invalid):
        await registry.app.database.write(users.provision, "first", replace(ALICE, subject=subject), NOW_MS)


async def test_login_that_is_linked_is_the_account_unless_either_may_not(registry: Registry) -> None:
    account = await registry.local("bob")
    registry.first.put(ALICE, PASSWORD)
    await registry.sign_in("alice", PASSWORD)
    alice = await registry.user("first", "alice")
    await registry.change(alice, linked_to=account.id)
    registry.wait(61)

    assert (await registry.sign_in("alice", PASSWORD)).key == "local:bob"
    await registry.change(alice, disabled=True)
    registry.wait(61)
    assert await registry.refused("alice", PASSWORD) is AccountDisabled
    await registry.change(alice, disabled=False)
    await registry.change(account, disabled=True)
    registry.wait(61)
    assert await registry.refused("alice", PASSWORD) is AccountDisabled


async def test_token_of_a_linked_login_goes_when_the_login_is_disabled(registry: Registry) -> None:
    account = await registry.local("bob")
    login = await registry.local("robert")
    text = await registry.token(login)
    await registry.change(login, linked_to=account.id)

    assert (await stored_tokens.check(registry.app, text, HERE)).key in {"local:bob", "local:robert"}
    await registry.change(login, disabled=True)
    await until_refused(registry, text)


async def test_disabled_user_is_told_only_with_the_right_password(registry: Registry) -> None:
    alice = await registry.local("alice")
    await registry.change(alice, disabled=True)
    registry.first.put(ExternalUser("uuid-dan", "dan"), PASSWORD)
    registry.first.disabled.add("dan")

    assert await registry.refused("alice", OTHER_PASSWORD) is CredentialsInvalid
    assert await registry.refused("alice", PASSWORD) is AccountDisabled
    assert await registry.refused("dan", PASSWORD) is AccountDisabled


async def test_user_that_is_gone_comes_back_when_the_directory_says_so(registry: Registry) -> None:
    registry.first.put(ALICE, PASSWORD)
    await registry.sign_in("alice", PASSWORD)
    alice = await registry.user("first", "alice")
    await registry.change(alice, gone=True)
    text = await registry.token(alice)
    with pytest.raises(AccountDisabled):
        await stored_tokens.check(registry.app, text, HERE)
    registry.wait(61)

    assert (await registry.sign_in("alice", PASSWORD)).key == "first:alice"
    assert not (await registry.user("first", "alice")).gone


# What is remembered of a login.


async def test_password_that_was_right_is_not_once_it_is_changed(registry: Registry) -> None:
    await registry.local("alice")
    await registry.sign_in("alice", PASSWORD)
    await registry.sign_in("alice", PASSWORD)
    await registry.app.database.write(users.set_password, "alice", passwords.hash_password(OTHER_PASSWORD))

    async def is_over() -> bool:
        registry.app.caches.refresh()
        try:
            await registry.sign_in("alice", PASSWORD)
        except (CredentialsInvalid, LoginDelayed):
            return True
        return False

    for _ in range(500):
        if await is_over():
            break
        await asyncio.sleep(0.01)
    else:
        raise AssertionError("the old password is still taken")
    registry.wait(120)
    assert (await registry.sign_in("alice", OTHER_PASSWORD)).key == "local:alice"


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_password_that_was_right_is_not_hashed_again_when_others_change(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = await registry.local("alice"), await registry.local("bob")
    account = await registry.local("account")
    hashed = 0
    verify = passwords.Slot.verify

    async def counted(self: passwords.Slot, *arguments: Any) -> bool:
        nonlocal hashed
        hashed += 1
        return await verify(self, *arguments)

    async def signed_in(password: str = PASSWORD) -> str:
        registry.app.caches.refresh()  # As each request does.
        return (await registry.sign_in("alice", password)).key

    monkeypatch.setattr(passwords.Slot, "verify", counted)
    assert await signed_in() == "local:alice"
    for values in ({"email": "b@example.test"}, {"disabled": True}, {"disabled": False}):
        await registry.change(bob, **values)
        assert await signed_in() == "local:alice"
    await registry.change(alice, linked_to=account.id)
    assert await signed_in() == "local:account"
    assert hashed == 1

    # Whatever concerns alice does.
    await registry.change(account, disabled=True)
    registry.app.caches.refresh()
    assert await registry.refused("alice", PASSWORD) is AccountDisabled
    await registry.change(account, disabled=False)
    await registry.app.database.write(users.set_password, "alice", passwords.hash_password(OTHER_PASSWORD))
    registry.app.caches.refresh()
    assert await registry.refused("alice", PASSWORD) is CredentialsInvalid
    assert await signed_in(OTHER_PASSWORD) == "local:account"
    await registry.app.database.write(users.remove, alice)
    registry.app.caches.refresh()
    assert await registry.refused("alice", OTHER_PASSWORD) is CredentialsInvalid
    again = await registry.local("alice")
    registry.app.caches.refresh()
    assert (await registry.sign_in("alice", PASSWORD)).user_id == again.id != alice.id


@pytest.mark.parametrize("provider", ["local", "first"])
async def test_password_that_was_right_is_not_hashed_again_when_much_else_is_remembered(
    registry: Registry, provider: str
) -> None:
    """A burst of cold pulls, of repositories that nobody asked for before, and of users who were not here before."""
    hashed: list[str] = []
    verifier = passwords.Verifier(hashed.append, failure_seconds=0)
    app = replace(registry.app, passwords=verifier)
    if provider == "local":
        await registry.local("alice")
    else:
        registry.first.put(ALICE, PASSWORD)
    first = await credentials.verify_password(app, "alice", PASSWORD, HERE)
    # Over PostgreSQL, the news of the first login come a moment later.
    while hashed:
        hashed.clear()
        await asyncio.sleep(0.05)
        app.caches.refresh()
        await credentials.verify_password(app, "alice", PASSWORD, HERE)
    for number in range(200):
        stamp = app.caches.stamp()
        app.caches.content.put(stamp, topics.content(f"burst/{number}"), "key", "manifest", 2**20)
        app.caches.accounts.put(stamp, topics.NAMESPACES, f"burst/{number}", False, 2**20)

    assert app.caches.content.evictions > 0
    assert app.caches.accounts.evictions > 0
    assert await credentials.verify_password(app, "alice", PASSWORD, HERE) == first
    assert hashed == []
    verifier.close()


async def test_directory_is_asked_again_after_a_minute(registry: Registry) -> None:
    registry.first.put(ALICE, PASSWORD)
    await registry.sign_in("alice", PASSWORD)
    registry.first.put(ALICE, OTHER_PASSWORD)
    registry.wait(61)

    assert await registry.refused("alice", PASSWORD) is CredentialsInvalid


# Wrong passwords.


async def fail(registry: Registry, name: str, times: int, origin: Origin = HERE) -> list[type[Exception]]:
    """With another wrong password each time: the same one again is the same try."""
    return [await registry.refused(name, f"wrong {secrets.token_hex(4)}", origin) for _ in range(times)]


async def test_after_some_wrong_passwords_each_try_has_to_wait_longer(registry: Registry) -> None:
    await registry.local("alice")
    assert await fail(registry, "alice", FREE + 1) == [CredentialsInvalid] * FREE + [LoginDelayed]

    waits = []
    for _ in range(8):
        with pytest.raises(LoginDelayed) as delayed:
            await registry.sign_in("alice", PASSWORD)
        waits.append(delayed.value.retry_after_seconds)
        registry.wait(delayed.value.retry_after_seconds)
        assert await fail(registry, "alice", 1) == [CredentialsInvalid]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    registry.wait(60)
    assert (await registry.sign_in("alice", PASSWORD)).key == "local:alice"


async def test_client_that_asks_twice_with_one_wrong_password_has_made_one_try(registry: Registry) -> None:
    await registry.local("alice")
    refused = [await registry.refused("alice", "wrong") for _ in range(FREE * 3)]
    assert refused == [CredentialsInvalid] * FREE * 3
    assert (await registry.sign_in("alice", PASSWORD)).key == "local:alice"


async def test_tries_at_the_same_time_are_not_more_than_one_after_another(registry: Registry) -> None:
    await registry.local("alice")

    tries = (registry.refused("alice", f"wrong {number}") for number in range(30))
    refused = await asyncio.gather(*tries)

    assert refused.count(CredentialsInvalid) == FREE


async def test_right_password_at_the_same_time_is_checked_once(registry: Registry) -> None:
    registry.first.put(ALICE, PASSWORD)

    await registry.sign_in("alice", PASSWORD)
    registry.wait(61)
    registry.first.asked.clear()
    signed_in = await asyncio.gather(*(registry.sign_in("alice", PASSWORD) for _ in range(20)))

    assert {principal.key for principal in signed_in} == {"first:alice"}
    # Over PostgreSQL nothing is remembered until the news is listened to.
    assert len(registry.first.asked) == 1 or registry.app.settings.database.url.startswith("postgresql")


async def test_right_password_that_is_remembered_forgets_the_wrong_ones_before_it(registry: Registry) -> None:
    await registry.local("dave")
    await registry.sign_in("dave", PASSWORD)
    for round_ in range(3):
        # Each round one less than what makes the next one wait.
        for number in range(FREE - 1):
            assert await registry.refused("dave", f"{round_}{number}") is CredentialsInvalid
        registry.wait(61)
        await registry.sign_in("dave", PASSWORD)
    assert await registry.refused("dave", "wrong") is CredentialsInvalid


@pytest.mark.parametrize(
    "origin", [HERE, HERE._replace(address="2001:db8::1")], ids=lambda origin: origin.address.partition(".")[0]
)
async def test_others_elsewhere_do_not_lock_a_user_out_and_success_here_forgets(
    registry: Registry, origin: Origin
) -> None:
    await registry.local("alice")
    await fail(registry, "alice", FREE, ELSEWHERE)
    assert await registry.refused("alice", PASSWORD, ELSEWHERE) is LoginDelayed
    await fail(registry, "alice", FREE - 1, origin)

    assert (await registry.sign_in("alice", PASSWORD, origin)).key == "local:alice"
    assert await fail(registry, "alice", FREE, origin) == [CredentialsInvalid] * FREE


async def test_guesses_from_everywhere_have_to_wait_but_never_keep_the_administrator_out(registry: Registry) -> None:
    await registry.local("alice")
    await registry.local("root", administrator=True)
    for name in ("alice", "root"):
        for number in range(FREE * lockout.ADDRESS_FACTOR):
            await fail(registry, name, 1, HERE._replace(address=f"203.0.113.{number}"))

    assert await registry.refused("alice", PASSWORD, ELSEWHERE) is LoginDelayed
    assert (await registry.sign_in("root", PASSWORD, ELSEWHERE)).key == "local:root"


async def test_name_with_an_address_in_it_locks_nobody_out_there(registry: Registry) -> None:
    await registry.local("root", administrator=True)
    for number in range(FREE * lockout.ADDRESS_FACTOR + 1):
        for name in (f"root@{HERE.address}", f"{HERE.address} root"):
            await fail(registry, name, 1, ELSEWHERE._replace(address=f"203.0.113.{number}"))

    assert (await registry.sign_in("root", PASSWORD)).key == "local:root"


async def test_many_names_from_one_address_have_to_wait(registry: Registry) -> None:
    await registry.local("alice")
    for number in range(FREE * lockout.ADDRESS_FACTOR):
        assert await fail(registry, f"name-{number}", 1) == [CredentialsInvalid]

    assert await registry.refused("alice", PASSWORD) is LoginDelayed
    assert (await registry.sign_in("alice", PASSWORD, ELSEWHERE)).key == "local:alice"


async def test_addresses_of_one_ipv6_network_are_one(registry: Registry) -> None:
    await registry.local("root", administrator=True)
    for number in range(FREE):
        await fail(registry, "root", 1, HERE._replace(address=f"2001:db8::{number:x}"))

    assert await registry.refused("root", PASSWORD, HERE._replace(address="2001:db8::ffff")) is LoginDelayed
    assert (await registry.sign_in("root", PASSWORD, HERE._replace(address="2001:db8:0:1::1"))).key == "local:root"


async def test_spellings_of_one_name_are_one(registry: Registry) -> None:
    registry.first.put(ALICE, PASSWORD)

    refused = [await registry.refused(name, "wrong") for name in ("alice", "Alice", " aLICE ", "ALICE  ")]

    assert refused == [CredentialsInvalid] * FREE + [LoginDelayed]


async def test_wrong_passwords_are_forgotten_after_a_day(registry: Registry) -> None:
    await registry.local("alice")
    await fail(registry, "alice", FREE)
    registry.wait(24 * 3600 + 1)

    assert await fail(registry, "alice", FREE) == [CredentialsInvalid] * FREE
    registry.wait(24 * 3600 + 1)
    assert await registry.app.database.write(lockout.expire, registry.now_ms[0]) > 0
    assert await registry.app.database.read(lambda c: c.execute(select(login_failures)).first()) is None


async def test_unknown_name_makes_the_same_work_and_leaves_the_same_traces(registry: Registry) -> None:
    await registry.local("alice")
    for name in ("alice", "nobody"):
        assert await fail(registry, name, FREE + 1) == [CredentialsInvalid] * FREE + [LoginDelayed]
    texts = []
    for name in ("alice", "nobody"):
        with pytest.raises(LoginDelayed) as delayed:
            await registry.sign_in(name, PASSWORD)
        texts.append(delayed.value.message)

    assert len(set(texts)) == 1


# What a wrong password tells.


BCRYPT_HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(5)).decode()
KINDS = ("nobody", "local", "imported", "disabled", "without-password", "root", "dan", "dora", "lola", "here", "robot")


async def everybody(registry: Registry) -> None:
    """One of each of KINDS but the first; `here` was right before, elsewhere and long ago."""
    for name in ("local", "imported", "disabled", "without-password", "root", "here"):
        await registry.local(name, administrator=name == "root")
    await registry.sign_in("here", PASSWORD, ELSEWHERE)
    await registry.change(await registry.user("local", "disabled"), disabled=True)
    await registry.change(await registry.user("local", "without-password"), password_hash=None)
    await registry.change(await registry.user("local", "imported"), password_hash=BCRYPT_HASH)
    for name in ("dan", "dora", "lola"):
        registry.second.put(ExternalUser(f"uuid-{name}", name), PASSWORD)
    registry.second.disabled.add("dora")
    registry.second.locked.add("lola")
    registry.wait(1000)

    def add_robot(connection: Connection) -> None:
        users.add(connection, users.ROBOT, "robot", now_ms=NOW_MS)

    await registry.app.database.write(add_robot)


async def seen(registry: Registry, name: str, origin: Origin) -> tuple[object, ...]:
    """All that a stranger sees of a wrong password, and the hashes that were computed for it."""
    computed: list[str] = []
    verifier = passwords.Verifier(computed.append, failure_seconds=0)
    try:
        await credentials.verify_password(replace(registry.app, passwords=verifier), name, secrets.token_hex(8), origin)
    except (CredentialsInvalid, AccountDisabled, LoginDelayed, ProviderUnavailable) as error:
        return type(error), error.message, error.detail, sorted(computed)
    finally:
        verifier.close()
    raise AssertionError("a guess was right")


async def test_guesses_at_whatever_name_are_the_same_work_with_the_same_answers(registry: Registry) -> None:
    """From one place, until it waits long, and on after each wait."""
    await everybody(registry)
    answers: dict[str, list[tuple[object, ...]]] = {}
    start_ms = registry.now_ms[0]
    for number, name in enumerate(KINDS):
        registry.now_ms[0] = start_ms
        origin = HERE._replace(address=f"203.0.113.{number}")
        answers[name] = []
        for step in range(8):
            answers[name].append(await seen(registry, name, origin))
            registry.wait(step)

    assert {row[0] for row in answers["nobody"]} == {CredentialsInvalid, LoginDelayed}
    assert answers["nobody"][0][3] == ["argon2id", "bcrypt"]
    for name in KINDS:
        assert answers[name] == answers["nobody"], name
    reasons = {record["reason"] for record in await registry.records("login:password") if record["outcome"] == "failed"}
    assert "lola is locked in second" in reasons


async def test_guesses_from_everywhere_tell_nobody_who_is_an_administrator(registry: Registry) -> None:
    await everybody(registry)
    answers: dict[str, list[tuple[object, ...]]] = {}
    start_ms = registry.now_ms[0]
    for name in KINDS:
        registry.now_ms[0] = start_ms
        for number in range(FREE * lockout.ADDRESS_FACTOR):
            counted = lockout.keys(name, f"198.18.0.{number}")
            await registry.app.database.write(lockout.failed, counted, registry.now_ms[0])
        # From a place of its own, as often as an administrator's tries are checked there, and more.
        origin = HERE._replace(address=f"203.0.113.{len(answers)}")
        answers[name] = []
        for step in range(12):
            answers[name].append((await seen(registry, name, origin))[:3])
            registry.wait(step / 4)

    assert answers["nobody"][0][0] is LoginDelayed
    for name in KINDS:
        assert answers[name] == answers["nobody"], name
    # Who is one gets in all the same.
    registry.now_ms[0] = start_ms + 1
    assert (await registry.sign_in("root", PASSWORD, ELSEWHERE)).name == "root"


async def test_guesses_where_many_were_wrong_do_not_tell_who_was_right_there(registry: Registry) -> None:
    await everybody(registry)
    for number in range(FREE * lockout.ADDRESS_FACTOR + 8):
        counted = lockout.keys(f"guessed-{number}", ELSEWHERE.address)
        await registry.app.database.write(lockout.failed, counted, registry.now_ms[0])
    answers = {name: [(await seen(registry, name, ELSEWHERE))[:3] for _ in range(8)] for name in KINDS}

    assert answers["nobody"][0][0] is LoginDelayed
    for name in KINDS:
        assert answers[name] == answers["nobody"], name
    registry.wait(61)
    assert (await registry.sign_in("here", PASSWORD, ELSEWHERE)).name == "here"


async def test_robots_tell_nobody_which_there_are(registry: Registry) -> None:
    await everybody(registry)
    answers = [[await seen(registry, name, HERE) for _ in range(5)] for name in ("robot+robot", "robot+none")]
    assert answers[0] == answers[1]
    assert answers[0][0][0] is CredentialsInvalid


async def test_login_that_found_no_slot_is_no_wrong_password(registry: Registry) -> None:
    await registry.local("alice")
    async with AsyncExitStack() as taken:
        for _ in range(passwords.SLOTS_OF_ONE):
            slot = registry.app.passwords.slot(f"address:{HERE.address}", known=False)
            await taken.enter_async_context(slot)
        for number in range(FREE + 2):
            with pytest.raises(TooManyLogins):
                await registry.sign_in("alice", f"wrong {number}")
    assert (await registry.sign_in("alice", PASSWORD)).name == "alice"
    # Who was right there before has a place of their own.
    await registry.app.database.write(users.set_password, "alice", passwords.hash_password(PASSWORD))
    async with AsyncExitStack() as taken:
        for _ in range(passwords.SLOTS_OF_ONE):
            slot = registry.app.passwords.slot(f"address:{HERE.address}", known=False)
            await taken.enter_async_context(slot)
        registry.app.caches.refresh()
        assert (await registry.sign_in("alice", PASSWORD)).name == "alice"


# Records.


async def test_logins_are_recorded_with_their_outcome_and_without_secrets(registry: Registry) -> None:
    alice = await registry.local("alice")
    await registry.sign_in("alice", PASSWORD)
    await registry.refused("alice", "a wrong one")
    await registry.refused("nobody\x00\u202e", "a wrong one", ELSEWHERE)
    text = await registry.token(alice, seconds=10)
    await registry.refused(text, "a wrong one")
    await registry.refused("bob", text)
    await registry.refused("alice", text[:-1] + "!")
    registry.wait(11)
    await registry.refused("alice", text)
    await registry.change(alice, disabled=True)

    good, *bad = await registry.records("login:password")
    assert (good["actor"], good["outcome"], good["credential"]["kind"]) == ("local:alice", "done", "password")
    assert (good["address"], good["user_agent"], good["request_id"]) == ("192.0.2.1", "docker/28", "r1")
    assert [(one["actor"], one["outcome"]) for one in bad] == [("anonymous", "failed")] * 3
    assert bad[0]["resource"] == "user:alice"
    by_token = await registry.records("login:token")
    assert [one["reason"].split(":")[0] for one in by_token] == [
        "the token belongs to another user",
        "the token is not valid or was revoked",
        "the token laptop has expired",
    ]
    everything = json.dumps([good, *bad, *by_token])
    assert text[30:] not in everything
    assert "a wrong one" not in everything
    assert PASSWORD not in everything


# Tokens.

READ_TEAM = (Limit(frozenset({"repository:pull"}), "namespace", "team"),)


async def test_token_is_known_by_all_of_its_text_and_only_a_hash_is_kept(registry: Registry) -> None:
    alice = await registry.local("alice")
    text = await registry.token(alice, READ_TEAM)
    other = await registry.token(alice)

    principal = await stored_tokens.check(registry.app, text, HERE)
    assert (principal.key, principal.credential.kind, principal.limits) == ("local:alice", "token", READ_TEAM)
    assert await registry.refused("alice", spliced(text, other)) is TokenInvalid
    for wrong in (text.upper(), text + "x", text[:-1], text.replace("pat", "bot"), text.replace("pat", "ref"), " "):
        with pytest.raises(TokenInvalid):
            await stored_tokens.check(registry.app, wrong, HERE)
    row = await registry.app.database.read(lambda c: repr(c.execute(select(tokens.tokens)).mappings().all()))
    assert text[25:] not in row


def spliced(text: str, other: str) -> str:
    """The id of one token, the secret of another, and a right checksum."""
    body = text[: len("entrepot_pat_") + 12] + other[len("entrepot_pat_") + 12 : -6]
    return body + tokens._checksum(body)


async def test_token_ends_when_it_says_and_when_its_owner_does(registry: Registry) -> None:
    alice = await registry.local("alice")
    first, second, third = [await registry.token(alice, seconds=seconds) for seconds in (10, 3600, 3600)]
    registry.wait(10)
    with pytest.raises(TokenInvalid, match="expired"):
        await stored_tokens.check(registry.app, first, HERE)
    await stored_tokens.check(registry.app, second, HERE)
    token = await registry.app.database.read(tokens.find, tokens.parse_id(second) or "")
    assert token is not None
    assert (token.used_at_ms, token.used_address) == (registry.now_ms[0], "192.0.2.1")
    await registry.app.database.write(tokens.remove, token)
    await until_refused(registry, second)
    await stored_tokens.check(registry.app, third, HERE)
    await registry.app.database.write(users.remove, alice)
    await until_refused(registry, third)
    # The next user of that name, perhaps of that number.
    await registry.local("alice")
    with pytest.raises(TokenInvalid):
        await stored_tokens.check(registry.app, third, HERE)


async def test_token_with_another_name_beside_it_is_refused(registry: Registry) -> None:
    alice = await registry.local("alice")
    await registry.local("bob")
    text = await registry.token(alice)

    for name in ("bob", "Alice", "robot+alice", "alice ", ""):
        assert await registry.refused(name, text) is TokenInvalid
    assert (await registry.sign_in("alice", text)).key == "local:alice"


async def test_refresh_token_is_no_password_and_a_password_no_refresh_token(registry: Registry) -> None:
    alice = await registry.local("alice")
    personal = await registry.token(alice)
    refresh = await refresh_token(registry, await registry.sign_in("alice", PASSWORD))

    assert (await credentials.verify_refresh_token(registry.app, refresh, HERE)).key == "local:alice"
    assert await registry.refused("alice", refresh) is TokenInvalid
    with pytest.raises(TokenInvalid):
        await credentials.verify_bearer(registry.app, refresh, HERE)
    for wrong in (personal, PASSWORD, "", refresh[:-1]):
        with pytest.raises(TokenInvalid):
            await credentials.verify_refresh_token(registry.app, wrong, HERE)
    assert len(await registry.records("login:refresh")) == 4


async def refresh_token(registry: Registry, principal: Principal) -> str:
    issued = await bearer_tokens.issue(registry.app, principal, [], HERE, offline=True)
    assert issued.refresh_token is not None
    return issued.refresh_token


async def test_refresh_token_of_a_limited_token_is_limited_and_ends_with_it(registry: Registry) -> None:
    alice = await registry.local("alice", administrator=True)
    text = await registry.token(alice, READ_TEAM, seconds=3600)
    refresh = await refresh_token(registry, await registry.sign_in("alice", text))
    again = await credentials.verify_refresh_token(registry.app, refresh, HERE)
    assert again.limits == READ_TEAM

    issued = await bearer_tokens.issue(
        registry.app, again, ["repository:team/app:pull,push", "repository:other/app:pull"], HERE
    )
    assert [(scope.name, sorted(scope.actions)) for scope in issued.scopes] == [("team/app", ["pull"])]
    assert (await credentials.verify_bearer(registry.app, issued.token, HERE)).limits == READ_TEAM
    # Using it lets it live on, but not longer than what it was got with.
    registry.wait(3600)
    with pytest.raises(TokenInvalid):
        await credentials.verify_refresh_token(registry.app, refresh, HERE)
    with pytest.raises(TokenInvalid):
        await credentials.verify_bearer(registry.app, issued.token, HERE)


async def test_revoked_token_takes_what_was_got_with_it(registry: Registry) -> None:
    alice = await registry.local("alice", administrator=True)
    text = await registry.token(alice)
    refresh = await refresh_token(registry, await registry.sign_in("alice", text))
    issued = await bearer_tokens.issue(
        registry.app, await credentials.verify_refresh_token(registry.app, refresh, HERE), [], HERE
    )
    token = await registry.app.database.read(tokens.find, tokens.parse_id(text) or "")
    assert token is not None
    await registry.app.database.write(tokens.remove, token)
    await until_refused(registry, text)

    with pytest.raises(TokenInvalid):
        await credentials.verify_refresh_token(registry.app, refresh, HERE)
    with pytest.raises(TokenInvalid):
        await credentials.verify_bearer(registry.app, issued.token, HERE)


async def test_only_the_newest_refresh_tokens_of_a_user_are_kept(registry: Registry) -> None:
    alice = await registry.local("alice")

    def add(connection: Connection) -> list[str]:
        texts = []
        for number in range(tokens.REFRESH_TOKENS_OF_USER_MAX + 5):
            at_ms = NOW_MS + number
            made = tokens.add(connection, REFRESH, alice, "docker login", limits=None, expires_at_ms=None, now_ms=at_ms)
            texts.append(made[1])
        return texts

    texts = await registry.app.database.write(add)
    kept = await registry.app.database.read(tokens.of_user, alice.id, REFRESH)

    assert {token.id for token in kept} == {tokens.parse_id(text) for text in texts[5:]}


async def test_bearer_token_is_no_longer_good_for_the_next_user_of_the_name(registry: Registry) -> None:
    alice = await registry.local("alice", administrator=True)
    issued = await bearer_tokens.issue(registry.app, await registry.sign_in("alice", PASSWORD), [], HERE)
    assert (await credentials.verify_bearer(registry.app, issued.token, HERE)).key == "local:alice"
    await registry.app.database.write(users.remove, alice)
    registry.wait(2)
    now_ms = registry.now_ms[0]
    await registry.app.database.write(lambda c: users.add(c, users.LOCAL, "alice", now_ms=now_ms))

    await until_refused(registry, issued.token)


# What was handed out, and is over.


@dataclass(frozen=True)
class _HandedOut:
    """To somebody who signed in by a login of an administrator's account."""

    bearer: str
    refresh_token: str
    session: str

    async def good(self, app: App) -> list[str]:
        """What of it still opens something."""
        good = []
        app.caches.refresh()
        for kind, asking in (
            ("bearer", credentials.verify_bearer(app, self.bearer, HERE)),
            ("refresh", credentials.verify_refresh_token(app, self.refresh_token, HERE)),
            ("session", credentials.verify_session(app, self.session, HERE)),
        ):
            try:
                found = await asking
            except (TokenInvalid, AccountDisabled):
                continue
            if found is not None:
                good.append(kind)
        return good


async def _as_administrator(registry: Registry, root: Principal) -> _HandedOut:
    """What alice of the directory gets, whose login is linked to the administrator boss."""
    await manage_users.change(registry.app, Caller(root, HERE), "first", "alice", {}, _whatever, link="local:boss")
    # Bearer tokens are verified by the machine's own clock: no time passes here. What a worker remembers of alice goes.
    for _ in range(500):
        registry.app.caches.refresh()
        if (boss := await registry.sign_in("alice", PASSWORD)).key == "local:boss":
            break
        await asyncio.sleep(0.01)
    assert boss.key == "local:boss"
    issued = await bearer_tokens.issue(registry.app, boss, [], HERE, offline=True)
    session, _ = await sessions.begin_by_password(registry.app, "alice", PASSWORD, HERE)
    assert issued.refresh_token is not None
    handed_out = _HandedOut(issued.token, issued.refresh_token, session)
    assert await handed_out.good(registry.app) == ["bearer", "refresh", "session"]
    return handed_out


def _whatever(_: object) -> None:
    """In whatever state the user is."""


async def test_nothing_that_a_linked_login_got_outlives_it(registry: Registry) -> None:
    for name in ("root", "boss"):
        await registry.local(name, administrator=True)
    registry.first.put(ALICE, PASSWORD)
    await registry.sign_in("alice", PASSWORD)
    root = await registry.sign_in("root", PASSWORD)

    async def unlink() -> None:
        await manage_users.change(registry.app, Caller(root, HERE), "first", "alice", {}, _whatever, link="")

    async def disable() -> None:
        await manage_users.change(registry.app, Caller(root, HERE), "first", "alice", {"disabled": True}, _whatever)
        await manage_users.change(registry.app, Caller(root, HERE), "first", "alice", {"disabled": False}, _whatever)

    async def lose() -> None:
        later_ms = registry.app.clock() + registry.first.refresh_seconds * 1000 + 1
        registry.first.remove("alice")
        assert await lifecycle.refresh(registry.app.database, registry.first, later_ms) == 1
        # With the next login she is back; what she had before stays over.
        registry.first.put(ALICE, PASSWORD)

    async def remove() -> None:
        await manage_users.remove(registry.app, Caller(root, HERE), "first", "alice", _whatever)

    for end in (unlink, disable, lose, remove):
        handed_out = await _as_administrator(registry, root)
        await end()
        for _ in range(500):
            # Over PostgreSQL the news has to come first.
            if not (good := await handed_out.good(registry.app)):
                break
            await asyncio.sleep(0.01)
        assert good == [], end.__name__


async def test_bearer_token_of_a_workload_ends_with_the_rule_that_it_came_by(registry: Registry) -> None:
    def trust(connection: Connection) -> tuple[User, int]:
        robot = users.add(connection, users.ROBOT, "ci", now_ms=NOW_MS)
        return robot, workloads.add(connection, robot.id, "forge", "entrepot", {"ref": "main"}, NOW_MS).id

    robot, rule_id = await registry.app.database.write(trust)
    principal = accounts.principal(robot, WORKLOAD)
    issued = await bearer_tokens.issue(registry.app, principal, [], HERE)
    assert (await credentials.verify_bearer(registry.app, issued.token, HERE)).key == "robot:ci"

    await registry.app.database.write(workloads.remove, robot.id, rule_id)
    await until_refused(registry, issued.token)


async def test_name_that_a_newcomer_would_get_cannot_be_taken_before(registry: Registry) -> None:
    newcomer = ExternalUser("uuid-other", "alice")
    expected = f"alice~{hashlib.sha256(newcomer.subject.encode()).hexdigest()[:12]}"
    for user in (ALICE, ExternalUser("uuid-mallory", expected)):
        registry.first.put(user, PASSWORD)
        await registry.sign_in(user.name, PASSWORD)
    registry.first.remove("alice")
    registry.first.put(newcomer, OTHER_PASSWORD)
    registry.wait(61)
    assert (await registry.sign_in("alice", OTHER_PASSWORD)).name == expected


async def test_name_that_is_too_long_written_out_is_refused_and_nobody_is_renamed(registry: Registry) -> None:
    registry.first.put(ALICE, PASSWORD)
    await registry.sign_in("alice", PASSWORD)
    registry.first.remove("alice")
    long = replace(ALICE, name="\u0430" * 255)
    registry.first.put(long, PASSWORD)
    registry.wait(61)
    with pytest.raises(Invalid, match="255 characters"):
        await registry.sign_in(long.name, PASSWORD)
    assert (await registry.user("first", "alice")).subject == ALICE.subject
