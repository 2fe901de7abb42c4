"""Signing in by OpenLDAP: who gets in, in which groups, and what happens when servers fail."""

import asyncio
import logging
import signal
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from entrepot.identity.errors import AccountDisabled, CredentialsInvalid, ProviderUnavailable, TooManyLogins
from entrepot.identity.ldap import NESTING_LEVELS_MAX, WAITING_MAX, LDAPDirectory
from entrepot.settings import LDAPProvider, SettingsInvalid
from tests.peers.certificate import Certificate, self_signed
from tests.peers.openldap import FAILURES_MAX, OpenLDAP
from tests.peers.process import free_port
from tests.peers.silence import Silence
from tests.services import guide

pytestmark = pytest.mark.anyio

PASSWORD = "correct horse battery ✓"
GENEROUS_SECONDS = 4
"""Waited for in full by a server that hangs, and enough for one that answers on a machine that is busy."""
OpenDirectory = Callable[..., LDAPDirectory]


@pytest.fixture
async def directory(openldap: OpenLDAP) -> AsyncIterator[OpenDirectory]:
    """Make a directory with the usual settings, but for those given."""
    async with AsyncExitStack() as opened:

        def make(**changes: Any) -> LDAPDirectory:
            usual = {
                "name": "corp",
                "type": "ldap",
                "urls": (openldap.url,),
                "ca_file": openldap.ca_file,
                "bind_dn": openldap.bind_dn,
                "bind_password": openldap.bind_password,
                "user_base": openldap.user_base,
                "group_base": openldap.group_base,
                "timeout_seconds": 20,
            }
            made = LDAPDirectory(LDAPProvider.model_validate({**usual, **changes}))
            opened.push_async_callback(made.close)
            return made

        yield make


@pytest.fixture(scope="module")
def alice(openldap: OpenLDAP) -> str:
    openldap.add_user("alice", PASSWORD, cn="Alice Ångström")
    return "alice"


@pytest.fixture
def user(openldap: OpenLDAP) -> str:
    """Somebody who is nobody else."""
    name = f"user-{uuid.uuid4().hex[:8]}"
    openldap.add_user(name, PASSWORD)
    return name


@pytest.fixture
def closed_port() -> int:
    return free_port()


# Who gets in.


async def test_user_with_the_right_password_is_told(directory: OpenDirectory, alice: str) -> None:
    found = await directory().authenticate(alice, PASSWORD)

    assert found is not None
    assert (found.name, found.display_name, found.email) == ("alice", "Alice Ångström", "alice@example.test")
    assert str(uuid.UUID(found.subject)) == found.subject
    assert found.groups == ()


async def test_user_with_a_wrong_password_is_refused(directory: OpenDirectory, alice: str) -> None:
    with pytest.raises(CredentialsInvalid):
        await directory().authenticate(alice, PASSWORD + "x")


async def test_user_unknown_is_none(directory: OpenDirectory) -> None:
    assert await directory().authenticate("nobody", PASSWORD) is None


async def test_password_empty_is_refused(directory: OpenDirectory, alice: str) -> None:
    with pytest.raises(CredentialsInvalid):
        await directory().authenticate(alice, "")


@pytest.mark.parametrize("password", ["\0", "\0" + PASSWORD, PASSWORD + "\0", "x" * 2000, "\ud800"])
async def test_password_that_none_can_have_is_refused(directory: OpenDirectory, alice: str, password: str) -> None:
    with pytest.raises(CredentialsInvalid):
        await directory().authenticate(alice, password)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "*",
        "ali*",
        "alice)(uid=*",
        "*)(uid=*))(|(uid=*",
        "alice)(|(userPassword=*)",
        "alice\0",
        "\0",
        "\\",
        "alice\\2a",
        "\\2a",
        "alice ",
        " alice",
        "ali\u00adce",
        "\uff41lice",
        "ali\nce",
        "\ud800",
        "{name}",
        "{dn}",
        "uid=alice,ou=people,dc=example,dc=test",
        "x" * 100_000,
    ],
)
async def test_name_that_is_an_attack_finds_nobody(directory: OpenDirectory, alice: str, name: str) -> None:
    assert await directory().authenticate(name, PASSWORD) is None


@pytest.mark.parametrize("name", ["(x)*", "a,b=c+d", "back\\slash", 'quo"te;<>#', "ünïcödé ✓"])
async def test_name_with_special_characters_is_only_a_name(
    openldap: OpenLDAP, directory: OpenDirectory, name: str
) -> None:
    number = uuid.uuid4().hex[:8]
    dn = openldap.add_user(name, PASSWORD, dn=f"cn={number},{openldap.user_base}", cn=number, mail="x@example.test")
    group = openldap.add_group(f"of-{number}", [dn])

    found = await directory().authenticate(name, PASSWORD)

    assert found is not None
    assert found.name == name
    assert found.groups == (group.partition(",")[0].removeprefix("cn="),)


async def test_entry_with_special_characters_in_its_name_has_its_groups(
    openldap: OpenLDAP, directory: OpenDirectory
) -> None:
    dn = rf"cn=Sm\2Cith (\2A)\5C \C3\A9,{openldap.user_base}"
    openldap.add_user("smith", PASSWORD, dn=dn, cn="Sm,ith (*)\\ é")
    openldap.add_group("smiths", [dn])

    found = await directory().authenticate("smith", PASSWORD)

    assert found is not None
    assert found.groups == ("smiths",)


async def test_name_in_other_case_is_the_same_user(directory: OpenDirectory, alice: str) -> None:
    found = await directory().authenticate("ALICE", PASSWORD)

    assert found is not None
    assert found.name == "alice"


async def test_name_of_two_entries_is_refused(openldap: OpenLDAP, directory: OpenDirectory) -> None:
    for number in (1, 2):
        openldap.add_user("twin", PASSWORD, dn=f"cn=twin {number},{openldap.user_base}", cn=f"twin {number}")

    with pytest.raises(ProviderUnavailable, match="more than one entry"):
        await directory().authenticate("twin", PASSWORD)


async def test_filter_of_users_leaves_others_out(openldap: OpenLDAP, directory: OpenDirectory, user: str) -> None:
    openldap.changes.add_values(openldap.user_dn(user), {"title": "operator"})
    own = directory(user_filter="(&(uid={name})(title=operator))")
    found = await own.authenticate(user, PASSWORD)
    assert found is not None
    assert await own.find(found.subject) == found

    openldap.changes.replace(openldap.user_dn(user), {"title": "visitor"})

    assert await own.authenticate(user, PASSWORD) is None
    assert await own.find(found.subject) is None


# Binding as the user.


async def test_bind_as_the_user_needs_no_service_account(
    openldap: OpenLDAP, directory: OpenDirectory, user: str
) -> None:
    openldap.add_group(f"of-{user}", [openldap.user_dn(user)])
    own = directory(bind_dn="", user_bind=f"uid={{name}},{openldap.user_base}")

    found = await own.authenticate(user, PASSWORD)

    assert found is not None
    assert (found.name, found.groups) == (user, (f"of-{user}",))
    with pytest.raises(CredentialsInvalid):
        await own.authenticate(user, "wrong")
    with pytest.raises(ProviderUnavailable, match="set bind_dn"):
        await own.find(found.subject)


@pytest.mark.parametrize("name", ["alice,ou=people", "alice+cn=x", "*", "alice)(uid=*", "\\00", "#61"])
async def test_bind_as_a_user_whose_name_is_an_attack_is_refused(
    openldap: OpenLDAP, directory: OpenDirectory, alice: str, name: str
) -> None:
    with pytest.raises(CredentialsInvalid):
        await directory(bind_dn="", user_bind=f"uid={{name}},{openldap.user_base}").authenticate(name, PASSWORD)


async def test_bind_as_one_user_is_not_a_proof_of_another(
    openldap: OpenLDAP, directory: OpenDirectory, alice: str
) -> None:
    """The name that binds is one attribute, the name that is searched another, and they may be of two users."""
    openldap.add_user("mallory", "mallory's", dn=f"cn=bob,{openldap.user_base}", cn="bob")
    openldap.add_user("bob", PASSWORD)

    with pytest.raises(CredentialsInvalid):
        await directory(bind_dn="", user_bind=f"cn={{name}},{openldap.user_base}").authenticate("bob", "mallory's")


# Accounts that may not be used.


async def test_user_locked_by_the_administrator_is_refused(
    openldap: OpenLDAP, directory: OpenDirectory, user: str
) -> None:
    own = directory()
    found = await own.authenticate(user, PASSWORD)
    assert found is not None

    openldap.disable(user)

    with pytest.raises((AccountDisabled, CredentialsInvalid)):
        await own.authenticate(user, PASSWORD)
    assert await own.find(found.subject) is None


async def test_user_locked_after_wrong_passwords_is_not_let_in(directory: OpenDirectory, user: str) -> None:
    own = directory()
    for _ in range(FAILURES_MAX):
        with pytest.raises(CredentialsInvalid):
            await own.authenticate(user, "wrong")

    with pytest.raises((AccountDisabled, CredentialsInvalid)):
        await own.authenticate(user, PASSWORD)


async def test_user_whose_password_was_reset_has_to_change_it(
    openldap: OpenLDAP, directory: OpenDirectory, user: str
) -> None:
    openldap.changes.replace(openldap.user_dn(user), {"pwdReset": "TRUE"})

    with pytest.raises(AccountDisabled, match="must be changed"):
        await directory().authenticate(user, PASSWORD)


async def test_user_expired_is_refused(openldap: OpenLDAP, directory: OpenDirectory, user: str) -> None:
    own = directory()
    found = await own.authenticate(user, PASSWORD)
    assert found is not None

    openldap.changes.replace(openldap.user_dn(user), {"shadowExpire": "1"})

    with pytest.raises(AccountDisabled, match="expired"):
        await own.authenticate(user, PASSWORD)
    assert await own.find(found.subject) is None


# Groups.


async def test_groups_of_all_kinds_are_found(openldap: OpenLDAP, directory: OpenDirectory, user: str) -> None:
    dn = openldap.user_dn(user)
    openldap.add_group(f"names-{user}", [dn])
    openldap.add_group(f"unique-{user}", [dn], unique=True)
    openldap.add_posix_group(f"posix-{user}", [user], number=4711)

    found = await directory().authenticate(user, PASSWORD)

    assert found is not None
    assert found.groups == (f"names-{user}", f"posix-{user}", f"unique-{user}")


async def test_groups_in_groups_and_in_loops_are_found(openldap: OpenLDAP, directory: OpenDirectory, user: str) -> None:
    names = [f"level-{number}-{user}" for number in range(5)]
    member = openldap.user_dn(user)
    for name in names:
        member = openldap.add_group(name, [member], unique=name.startswith("level-2"))
    openldap.changes.add_values(openldap.group_dn(names[0]), {"member": openldap.group_dn(names[-1])})

    found = await directory().authenticate(user, PASSWORD)

    assert found is not None
    assert found.groups == tuple(names)


async def test_groups_nested_too_deep_are_left_out_and_told(
    openldap: OpenLDAP, directory: OpenDirectory, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    member = openldap.user_dn(user)
    for number in range(NESTING_LEVELS_MAX + 3):
        member = openldap.add_group(f"deep-{number:02}-{user}", [member])

    found = await directory().authenticate(user, PASSWORD)

    assert found is not None
    assert len(found.groups) == NESTING_LEVELS_MAX + 1
    assert "nested too deep" in caplog.text


async def test_groups_by_a_filter_of_the_operator_are_found(
    openldap: OpenLDAP, directory: OpenDirectory, user: str
) -> None:
    direct = openldap.add_group(f"direct-{user}", [openldap.user_dn(user)])
    openldap.add_group(f"above-{user}", [direct])

    found = await directory(group_filter="(&(objectClass=groupOfNames)(member={dn}))").authenticate(user, PASSWORD)

    assert found is not None
    assert found.groups == (f"direct-{user}",)


# What the directory knows later.


async def test_user_found_by_subject_has_new_groups(openldap: OpenLDAP, directory: OpenDirectory, user: str) -> None:
    own = directory()
    before = await own.authenticate(user, PASSWORD)
    assert before is not None

    openldap.add_group(f"new-{user}", [openldap.user_dn(user)])

    after = await own.find(before.subject)
    assert after is not None
    assert after.groups == (f"new-{user}",)


async def test_user_removed_is_none(openldap: OpenLDAP, directory: OpenDirectory, user: str) -> None:
    own = directory()
    found = await own.authenticate(user, PASSWORD)
    assert found is not None

    openldap.remove(openldap.user_dn(user))

    assert await own.find(found.subject) is None
    assert await own.authenticate(user, PASSWORD) is None


@pytest.mark.parametrize("subject", ["", "*", "no-uuid", "*)(uid=alice", "00000000-0000-0000-0000-000000000000"])
async def test_subject_of_nobody_is_none(directory: OpenDirectory, alice: str, subject: str) -> None:
    assert await directory().find(subject) is None


# Encryption.


async def test_server_by_ldaps_is_asked(openldap: OpenLDAP, directory: OpenDirectory, alice: str) -> None:
    assert await directory(urls=(openldap.tls_url,)).authenticate(alice, PASSWORD) is not None


@pytest.mark.parametrize("encrypted", [True, False], ids=["ldaps", "starttls"])
async def test_server_of_an_unknown_authority_gets_no_password(
    openldap: OpenLDAP, directory: OpenDirectory, alice: str, tmp_path: Path, encrypted: bool
) -> None:
    other = self_signed(tmp_path)
    url = openldap.tls_url if encrypted else openldap.url

    with pytest.raises(ProviderUnavailable, match="certificate that is not trusted"):
        await directory(urls=(url,), ca_file=other.certificate).authenticate(alice, PASSWORD)


@pytest.mark.parametrize("encrypted", [True, False], ids=["ldaps", "starttls"])
async def test_server_with_another_name_gets_no_password(
    openldap: OpenLDAP, directory: OpenDirectory, alice: str, encrypted: bool
) -> None:
    url = openldap.misnamed_urls[encrypted]

    with pytest.raises(ProviderUnavailable, match=r"certificate that is not trusted.*127\.0\.0\.2"):
        await directory(urls=(url,)).authenticate(alice, PASSWORD)
    assert await directory(urls=(url,), verify_certificates=False).authenticate(alice, PASSWORD) is not None


async def test_server_with_any_certificate_is_asked_where_the_operator_says_so(
    openldap: OpenLDAP, directory: OpenDirectory, alice: str, tmp_path: Path
) -> None:
    other = self_signed(tmp_path)

    own = directory(ca_file=other.certificate, verify_certificates=False)

    assert await own.authenticate(alice, PASSWORD) is not None


async def test_authority_that_cannot_be_read_is_told_at_the_start(directory: OpenDirectory, tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="ca_file"):
        directory(ca_file=tmp_path / "missing.pem")


@pytest.mark.parametrize("url", ["http://127.0.0.1", "ldap://", "127.0.0.1", "ldapi:///run/slapd"])
async def test_url_that_is_none_is_told_at_the_start(directory: OpenDirectory, url: str) -> None:
    with pytest.raises(SettingsInvalid, match="ldap://host"):
        directory(urls=(url,))


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"user_filter": "(uid={name}"}, "user_filter: .* is not a filter"),
        ({"user_filter": "(uid=alice)"}, "user_filter must contain {name}"),
        ({"group_filter": "member={dn}"}, "group_filter: .* is not a filter"),
        ({"group_filter": "(objectClass=groupOfNames)"}, "group_filter must contain {dn}"),
        ({"bind_password": ""}, "bind_dn needs bind_password"),
    ],
)
async def test_settings_that_can_never_work_are_told_at_the_start(
    directory: OpenDirectory, changes: dict[str, Any], advice: str
) -> None:
    with pytest.raises(SettingsInvalid, match=advice):
        directory(**changes)


# Servers that fail.


async def test_server_that_is_down_is_passed_over(
    openldap: OpenLDAP, directory: OpenDirectory, alice: str, closed_port: int
) -> None:
    own = directory(urls=(f"ldap://127.0.0.1:{closed_port}", openldap.url))

    assert await own.authenticate(alice, PASSWORD) is not None


async def test_server_that_hangs_is_passed_over_and_not_asked_by_the_next_logins(
    openldap: OpenLDAP, directory: OpenDirectory, alice: str
) -> None:
    with Silence() as silence:
        own = directory(urls=(f"ldap://127.0.0.1:{silence.port}", openldap.url), timeout_seconds=GENEROUS_SECONDS)

        assert await own.authenticate(alice, PASSWORD) is not None
        assert silence.connections() == 1
        for _ in range(3):
            assert await own.authenticate(alice, PASSWORD) is not None
        assert silence.connections() == 0


async def test_servers_that_all_fail_are_told_with_what_to_do(
    directory: OpenDirectory, alice: str, closed_port: int
) -> None:
    own = directory(urls=(f"ldap://127.0.0.1:{closed_port}",))

    for _ in range(2):
        with pytest.raises(ProviderUnavailable, match=f"127.0.0.1:{closed_port} cannot be reached.*refused"):
            await own.authenticate(alice, PASSWORD)
    with pytest.raises(ProviderUnavailable):
        await own.find("00000000-0000-0000-0000-000000000000")


@pytest.mark.parametrize("scheme", ["ldap", "ldaps"])
async def test_server_that_hangs_does_not_keep_others_waiting(
    directory: OpenDirectory, alice: str, scheme: str
) -> None:
    with Silence() as silence:
        own = directory(urls=(f"{scheme}://127.0.0.1:{silence.port}",), timeout_seconds=1)

        login = asyncio.create_task(own.authenticate(alice, PASSWORD))
        turns = 0
        while not login.done():
            await asyncio.sleep(0.01)
            turns += 1

        with pytest.raises(ProviderUnavailable, match="did not respond within 1 s"):
            login.result()
        assert turns > 10


async def test_server_that_answers_a_byte_at_a_time_is_given_up(directory: OpenDirectory, alice: str) -> None:
    """No single wait is too long; all of them together are, and the thread must not be lost to them."""
    answer_that_never_ends = b"\x30\x84\x7f\xff\xff\xff" + bytes(1000)

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for byte in answer_that_never_ends:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.1)
        except OSError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
        url = f"ldap://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        own = directory(urls=(url,), timeout_seconds=1, connections=1)

        with pytest.raises(ProviderUnavailable, match="no complete answer"):
            await own.authenticate(alice, PASSWORD)
        with pytest.raises(ProviderUnavailable, match="closes the connection"):
            await own.authenticate(alice, PASSWORD)


async def test_logins_over_the_limit_are_put_off(directory: OpenDirectory, alice: str) -> None:
    with Silence() as silence:
        own = directory(urls=(f"ldap://127.0.0.1:{silence.port}",), timeout_seconds=1)

        logins = [own.authenticate(alice, PASSWORD) for _ in range(WAITING_MAX + 3)]
        answers = await asyncio.gather(*logins, return_exceptions=True)

    assert [type(answer) for answer in answers].count(TooManyLogins) == 3
    assert [type(answer) for answer in answers].count(ProviderUnavailable) == WAITING_MAX


async def test_connections_that_died_are_opened_again(tmp_path: Path, certificate: Certificate) -> None:
    with OpenLDAP(tmp_path, certificate) as server:
        server.add_user("carol", PASSWORD)
        provider = LDAPProvider(
            name="corp",
            type="ldap",
            urls=(server.url,),
            ca_file=server.ca_file,
            bind_dn=server.bind_dn,
            bind_password=server.bind_password,  # type: ignore[arg-type]
            user_base=server.user_base,
        )
        directory = LDAPDirectory(provider)
        try:
            assert await directory.authenticate("carol", PASSWORD) is not None
            server.stop()
            server.start()
            assert await directory.authenticate("carol", PASSWORD) is not None
        finally:
            await directory.close()


async def test_server_that_fails_after_logins_hands_over_to_the_next(
    openldap: OpenLDAP, directory: OpenDirectory, certificate: Certificate, user: str, tmp_path: Path
) -> None:
    with OpenLDAP(tmp_path, certificate) as first:
        first.add_user(user, PASSWORD, cn="first")
        own = directory(
            urls=(first.url, openldap.url),
            bind_dn="",
            user_bind=f"uid={{name}},{first.user_base}",
            timeout_seconds=GENEROUS_SECONDS,
        )
        found = await own.authenticate(user, PASSWORD)
        assert found is not None
        assert found.display_name == "first"

        first.server.signal(signal.SIGSTOP)
        try:
            found = await own.authenticate(user, PASSWORD)
        finally:
            first.server.signal(signal.SIGCONT)

        assert found is not None
        assert found.display_name != "first"
    first_gone = await own.authenticate(user, PASSWORD)
    assert first_gone == found


async def test_logins_at_the_same_time_each_get_their_own_user(openldap: OpenLDAP, directory: OpenDirectory) -> None:
    own = directory(connections=3)
    names = [f"crowd-{number}" for number in range(10)]
    for name in names:
        openldap.add_user(name, f"password of {name}")

    logins = [own.authenticate(name, f"password of {name}") for name in names * 3]
    wrong = [own.authenticate(name, "password of another") for name in names]
    answers = await asyncio.gather(*logins, *wrong, return_exceptions=True)

    users, refusals = answers[: len(logins)], answers[len(logins) :]
    assert [getattr(user, "name", user) for user in users] == names * 3
    assert [type(refusal) for refusal in refusals] == [CredentialsInvalid] * len(names)


# Settings that are wrong, and secrets.


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"bind_password": "wrong"}, "check bind_dn and its password"),
        ({"bind_dn": "not a name"}, "distinguished name is malformed"),
        ({"user_base": "ou=nowhere,dc=example,dc=test"}, "check user_base"),
        ({"user_base": "dc=elsewhere"}, "user_base|referrals are not followed"),
        ({"subject_attribute": "employeeNumber"}, "has no subject_attribute"),
        ({"bind_password_file": Path("/nowhere/secret")}, "bind_password_file"),
    ],
)
async def test_settings_that_are_wrong_are_told_to_the_operator(
    directory: OpenDirectory, alice: str, changes: dict[str, Any], advice: str
) -> None:
    with pytest.raises(ProviderUnavailable, match=advice):
        await directory(**changes).authenticate(alice, PASSWORD)


async def test_password_of_the_service_is_read_from_its_file(
    openldap: OpenLDAP, directory: OpenDirectory, alice: str, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(openldap.bind_password + "\n")

    own = directory(bind_password="", bind_password_file=secret)

    assert await own.authenticate(alice, PASSWORD) is not None


async def test_passwords_are_nowhere_to_be_read(
    openldap: OpenLDAP, directory: OpenDirectory, alice: str, closed_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "very-secret-indeed"
    told = []
    changes: list[dict[str, Any]] = [
        {},
        {"urls": (f"ldap://127.0.0.1:{closed_port}",)},
        {"bind_password": secret},
        {"bind_dn": "", "user_bind": f"uid={{name}},{openldap.user_base}"},
    ]
    for change in changes:
        own = directory(**change)
        with pytest.raises((CredentialsInvalid, ProviderUnavailable)) as raised:
            await own.authenticate(alice, secret)
        seen: BaseException | None = raised.value
        while seen is not None:
            told.append(repr(seen) + repr(getattr(seen, "detail", None)))
            seen = seen.__cause__ or seen.__context__
        told.append(repr(vars(own)))

    assert secret not in "".join(told) + caplog.text
    assert openldap.bind_password not in "".join(told) + caplog.text


async def test_example_of_the_guide_works(openldap: OpenLDAP, user: str, tmp_path: Path) -> None:
    openldap.add_group(f"of-{user}", [openldap.user_dn(user)])
    example = guide.example("OpenLDAP", openldap.url, openldap.ca_file, openldap.bind_password, tmp_path)

    own = LDAPDirectory(example)
    try:
        found = await own.authenticate(user, PASSWORD)
    finally:
        await own.close()

    assert found is not None
    assert found.groups == (f"of-{user}",)
