"""Signing in by Active Directory: names, nested groups, and accounts that may not be used."""

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from entrepot.identity.errors import AccountDisabled, CredentialsInvalid, ProviderUnavailable
from entrepot.identity.ldap import LDAPDirectory
from entrepot.settings import LDAPProvider
from tests.peers.active_directory import TRIES_BEFORE_LOCK, ActiveDirectory
from tests.peers.certificate import self_signed
from tests.services import guide

pytestmark = pytest.mark.anyio

PASSWORD = "Corr3ct-horse-battery ✓"
OpenDirectory = Callable[..., LDAPDirectory]


@pytest.fixture
async def directory(active_directory: ActiveDirectory) -> AsyncIterator[OpenDirectory]:
    """Make a directory with the usual settings, but for those given."""
    async with AsyncExitStack() as opened:

        def make(**changes: Any) -> LDAPDirectory:
            usual = {
                "name": "corp",
                "type": "ldap",
                "directory": "active-directory",
                "urls": (active_directory.url,),
                "ca_file": active_directory.ca_file,
                "bind_dn": active_directory.bind_dn,
                "bind_password": active_directory.bind_password,
                "user_base": active_directory.base,
            }
            made = LDAPDirectory(LDAPProvider.model_validate({**usual, **changes}))
            opened.push_async_callback(made.close)
            return made

        yield make


@pytest.fixture
def as_user(active_directory: ActiveDirectory) -> dict[str, Any]:
    """Settings without a service account."""
    return {"bind_dn": "", "user_bind": f"{{name}}@{active_directory.realm.lower()}"}


@pytest.fixture
def user(active_directory: ActiveDirectory) -> str:
    """Somebody who is nobody else."""
    name = f"user-{uuid.uuid4().hex[:8]}"
    active_directory.add_user(name, PASSWORD, displayName=f"The {name}")
    return name


# Who gets in.


@pytest.mark.parametrize("encrypted", [False, True], ids=["starttls", "ldaps"])
async def test_user_with_the_right_password_is_told(
    active_directory: ActiveDirectory, directory: OpenDirectory, user: str, encrypted: bool
) -> None:
    url = active_directory.tls_url if encrypted else active_directory.url
    own = directory(urls=(url,), display_name_attribute="displayName")

    found = await own.authenticate(user, PASSWORD)

    assert found is not None
    assert (found.name, found.display_name, found.email) == (user, f"The {user}", f"{user}@example.test")
    assert str(uuid.UUID(found.subject)) == found.subject
    assert found.groups == ("Domain Users",)
    assert await own.find(found.subject) == found


async def test_subject_is_the_guid_as_people_write_it(
    active_directory: ActiveDirectory, directory: OpenDirectory, user: str
) -> None:
    """Active Directory finds an entry by the text of its GUID as a base: that is the same GUID, then."""
    found = await directory().authenticate(user, PASSWORD)
    assert found is not None

    other = await directory(user_base=f"<GUID={found.subject}>").authenticate(user, PASSWORD)

    assert other is not None
    assert other.subject == found.subject


async def test_user_with_a_wrong_password_is_refused(directory: OpenDirectory, user: str) -> None:
    for password in ("wrong", "", "\0"):
        with pytest.raises(CredentialsInvalid):
            await directory().authenticate(user, password)


async def test_user_unknown_is_none(directory: OpenDirectory) -> None:
    assert await directory().authenticate("nobody", PASSWORD) is None


@pytest.mark.parametrize(
    "form",
    ["{name}", "{upper}", "EXAMPLE\\{name}", "example.test\\{name}", "{name}@example.test", "{name}@EXAMPLE.TEST"],
)
@pytest.mark.parametrize("service", [True, False], ids=["service", "as-user"])
async def test_user_by_any_form_of_the_name_is_the_same(
    directory: OpenDirectory, as_user: dict[str, Any], user: str, form: str, service: bool
) -> None:
    own = directory(**({} if service else as_user))

    found = await own.authenticate(form.format(name=user, upper=user.upper()), PASSWORD)

    assert found is not None
    assert found.name == user


async def test_user_by_a_principal_of_another_domain_is_found_by_it_alone(
    active_directory: ActiveDirectory, directory: OpenDirectory
) -> None:
    active_directory.add_user("visitor", PASSWORD, userPrincipalName="guest@partner.test")

    found = await directory().authenticate("guest@partner.test", PASSWORD)

    assert found is not None
    assert found.name == "visitor"
    assert await directory().authenticate("visitor@partner.test", PASSWORD) is None


async def test_user_without_a_principal_signs_in_by_the_domain(
    active_directory: ActiveDirectory, directory: OpenDirectory
) -> None:
    active_directory.add_user("plain", PASSWORD, userPrincipalName=[])

    found = await directory().authenticate("plain@example.test", PASSWORD)

    assert found is not None
    assert found.name == "plain"


async def test_principal_with_the_name_of_another_user_is_no_proof(
    active_directory: ActiveDirectory, directory: OpenDirectory
) -> None:
    """Whoever may set principal names must not become somebody else by that."""
    active_directory.add_user("victim", PASSWORD)
    active_directory.add_user("mallory", "Mallory-0wn", userPrincipalName="victim@partner.test")

    for own in (directory(), directory(bind_dn="", user_bind="{name}@partner.test")):
        with pytest.raises(CredentialsInvalid):
            await own.authenticate("victim", "Mallory-0wn")


@pytest.mark.parametrize(
    "name",
    ["", "*", "user-*", "a)(sAMAccountName=*", "*)(objectClass=*", "x\0", "\\", "EXAMPLE\\", "\\*", "@", "x" * 9999],
)
async def test_name_that_is_an_attack_finds_nobody(directory: OpenDirectory, user: str, name: str) -> None:
    assert await directory().authenticate(name, PASSWORD) is None


@pytest.mark.parametrize("name", ["*", "a)(sAMAccountName=*", "x,DC=example", "*@example.test", "<GUID=*>"])
async def test_name_that_is_an_attack_binds_as_nobody(
    directory: OpenDirectory, as_user: dict[str, Any], user: str, name: str
) -> None:
    own = directory(**as_user)

    try:
        assert await own.authenticate(name, PASSWORD) is None
    except CredentialsInvalid:
        pass


async def test_machine_is_not_a_user(active_directory: ActiveDirectory, directory: OpenDirectory) -> None:
    active_directory.changes.add(
        active_directory.user_dn("machine"),
        {
            "objectClass": "computer",
            "sAMAccountName": "machine$",
            "unicodePwd": f'"{PASSWORD}"'.encode("utf-16-le"),
            "userAccountControl": "4096",
        },
    )

    assert await directory().authenticate("machine$", PASSWORD) is None


# Groups.


async def test_groups_in_groups_and_in_loops_are_found(
    active_directory: ActiveDirectory, directory: OpenDirectory, as_user: dict[str, Any], user: str
) -> None:
    names = [f"level-{number}-{user}" for number in range(4)]
    member = active_directory.user_dn(user)
    for name in names:
        member = active_directory.add_group(name, [member])
    active_directory.changes.add_values(
        active_directory.group_dn(names[0]), {"member": active_directory.group_dn(names[-1])}
    )

    for own in (directory(), directory(**as_user)):
        found = await own.authenticate(user, PASSWORD)
        assert found is not None
        assert found.groups == ("Domain Users", *names)


async def test_groups_below_their_base_are_all_that_count(
    active_directory: ActiveDirectory, directory: OpenDirectory, user: str
) -> None:
    active_directory.add_group(f"team-{user}", [active_directory.user_dn(user)])

    found = await directory(group_base=active_directory.group_base).authenticate(user, PASSWORD)

    assert found is not None
    assert found.groups == (f"team-{user}",)


async def test_groups_for_mail_alone_give_nothing(
    active_directory: ActiveDirectory, directory: OpenDirectory, user: str
) -> None:
    active_directory.add_group(f"mail-{user}", [active_directory.user_dn(user)], mail_only=True)

    found = await directory().authenticate(user, PASSWORD)

    assert found is not None
    assert found.groups == ("Domain Users",)


async def test_user_with_special_characters_in_the_entry_has_its_groups(
    active_directory: ActiveDirectory, directory: OpenDirectory
) -> None:
    dn = rf"CN=Smith\, (J.) *\\ é,{active_directory.user_base}"
    active_directory.add_user("smith", PASSWORD, dn=dn)
    active_directory.add_group("smiths", [dn])

    found = await directory().authenticate("smith", PASSWORD)

    assert found is not None
    assert "smiths" in found.groups


# Accounts that may not be used.


async def test_user_disabled_is_refused(active_directory: ActiveDirectory, directory: OpenDirectory, user: str) -> None:
    own = directory()
    found = await own.authenticate(user, PASSWORD)
    assert found is not None

    active_directory.disable(user)

    with pytest.raises(AccountDisabled, match="is disabled"):
        await own.authenticate(user, PASSWORD)
    assert await own.find(found.subject) is None


async def test_user_expired_is_refused(active_directory: ActiveDirectory, directory: OpenDirectory, user: str) -> None:
    own = directory()
    found = await own.authenticate(user, PASSWORD)
    assert found is not None

    active_directory.expire(user)

    with pytest.raises(AccountDisabled, match="has expired"):
        await own.authenticate(user, PASSWORD)
    assert await own.find(found.subject) is None


async def test_user_who_has_to_change_the_password_is_refused(
    active_directory: ActiveDirectory, directory: OpenDirectory, user: str
) -> None:
    active_directory.demand_new_password(user)

    with pytest.raises(AccountDisabled, match="must be changed"):
        await directory().authenticate(user, PASSWORD)


async def test_user_locked_after_wrong_passwords_is_refused(
    active_directory: ActiveDirectory, directory: OpenDirectory, user: str
) -> None:
    own = directory()
    found = await own.authenticate(user, PASSWORD)
    assert found is not None
    for _ in range(TRIES_BEFORE_LOCK):
        with pytest.raises(CredentialsInvalid):
            await own.authenticate(user, "wrong")

    with pytest.raises(AccountDisabled, match="is locked"):
        await own.authenticate(user, PASSWORD)
    # Anybody can guess at a password: that takes nothing away from somebody who is signed in.
    assert await own.find(found.subject) is not None


async def test_user_removed_is_none(active_directory: ActiveDirectory, directory: OpenDirectory, user: str) -> None:
    own = directory()
    found = await own.authenticate(user, PASSWORD)
    assert found is not None

    active_directory.remove(active_directory.user_dn(user))

    assert await own.find(found.subject) is None


@pytest.mark.parametrize("subject", ["", "*", "no-guid", "00000000-0000-0000-0000-000000000000"])
async def test_subject_of_nobody_is_none(directory: OpenDirectory, subject: str) -> None:
    assert await directory().find(subject) is None


# Encryption and settings.


async def test_server_of_an_unknown_authority_gets_no_password(
    directory: OpenDirectory, user: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = self_signed(tmp_path_factory.mktemp("other"))

    with pytest.raises(ProviderUnavailable, match="certificate that is not trusted"):
        await directory(ca_file=other.certificate).authenticate(user, PASSWORD)


async def test_server_that_wants_encryption_is_told_to_the_operator(directory: OpenDirectory, user: str) -> None:
    with pytest.raises(ProviderUnavailable, match="set start_tls, or use ldaps://"):
        await directory(start_tls=False).authenticate(user, PASSWORD)


async def test_service_account_that_is_refused_is_told_to_the_operator(directory: OpenDirectory, user: str) -> None:
    with pytest.raises(ProviderUnavailable, match="check bind_dn and its password"):
        await directory(bind_password="wrong").authenticate(user, PASSWORD)


async def test_service_account_that_is_refused_is_not_locked_by_logins(directory: OpenDirectory, user: str) -> None:
    own = directory(bind_password="wrong")

    for _ in range(TRIES_BEFORE_LOCK + 2):
        with pytest.raises(ProviderUnavailable):
            await own.authenticate(user, PASSWORD)

    assert await directory().authenticate(user, PASSWORD) is not None


@pytest.mark.parametrize("heading", ["Active Directory", "Without a service account"])
async def test_example_of_the_guide_works(
    active_directory: ActiveDirectory, user: str, tmp_path: Path, heading: str
) -> None:
    active_directory.add_group(f"of-{user}", [active_directory.user_dn(user)])
    server = active_directory.tls_url, active_directory.ca_file, active_directory.bind_password
    own = LDAPDirectory(guide.example(heading, *server, tmp_path))
    try:
        found = await own.authenticate(user, PASSWORD)
    finally:
        await own.close()

    assert found is not None
    assert f"of-{user}" in found.groups
