"""The addresses of uploads: sealed for one repository, one user and one time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.content.errors import UploadUnknown
from entrepot.content.uploads import UploadSession, open_address, start
from entrepot.oci.digest import ALGORITHMS
from entrepot.oci.name import RepositoryName
from entrepot.principal import ANONYMOUS, Principal
from tests.budgets import budget

KEY = b"k" * 32
REPOSITORY = RepositoryName.parse("team/image")
OWNER = Principal("local", "admin", user_id=1)
EXPIRES_AT_MS = 1_800_000_000_000
NOW_MS = EXPIRES_AT_MS - 1000


def started(algorithm: str = "sha256") -> tuple[UploadSession, str]:
    return start(KEY, REPOSITORY, OWNER, algorithm, EXPIRES_AT_MS)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_address_when_it_comes_back_is_the_same_session(algorithm: str) -> None:
    session, address = started(algorithm)

    assert open_address(KEY, address, REPOSITORY, OWNER, NOW_MS) == session


def test_address_in_its_last_millisecond_is_good() -> None:
    session, address = started()

    assert open_address(KEY, address, REPOSITORY, OWNER, EXPIRES_AT_MS) == session


def test_address_after_its_last_millisecond_is_unknown() -> None:
    with pytest.raises(UploadUnknown):
        open_address(KEY, started()[1], REPOSITORY, OWNER, EXPIRES_AT_MS + 1)


@pytest.mark.parametrize("repository", ["team", "team/other", "image", "team/image/x"])
def test_address_of_another_repository_is_unknown(repository: str) -> None:
    with pytest.raises(UploadUnknown):
        open_address(KEY, started()[1], RepositoryName.parse(repository), OWNER, NOW_MS)


@pytest.mark.parametrize(
    "owner",
    [ANONYMOUS, Principal("local", "other", user_id=2), Principal("ldap", "admin", user_id=3)],
    ids=lambda owner: owner.key,
)
def test_address_of_another_user_is_unknown(owner: Principal) -> None:
    with pytest.raises(UploadUnknown):
        open_address(KEY, started()[1], REPOSITORY, owner, NOW_MS)


def test_address_of_a_user_who_had_the_name_before_is_unknown() -> None:
    with pytest.raises(UploadUnknown):
        open_address(KEY, started()[1], REPOSITORY, Principal("local", "admin", user_id=2), NOW_MS)


def test_address_of_another_registry_is_unknown() -> None:
    with pytest.raises(UploadUnknown):
        open_address(b"o" * 32, started()[1], REPOSITORY, OWNER, NOW_MS)


def test_addresses_of_two_uploads_are_different() -> None:
    assert len({started()[1] for _ in range(20)}) == 20


def test_address_changed_in_any_character_is_unknown() -> None:
    _, address = started()
    for position, character in enumerate(address):
        for other in "0af-._Z":
            if other == character:
                continue
            changed = address[:position] + other + address[position + 1 :]
            with pytest.raises(UploadUnknown):
                open_address(KEY, changed, REPOSITORY, OWNER, NOW_MS)


def test_address_with_the_terms_of_another_is_unknown() -> None:
    (first, one), (_, other) = started(), start(KEY, REPOSITORY, OWNER, "sha256", EXPIRES_AT_MS + 10**9)
    terms, seal = other.split(".")[1], one.split(".")[2]

    with pytest.raises(UploadUnknown):
        open_address(KEY, f"{first.id}.{terms}.{seal}", REPOSITORY, OWNER, NOW_MS)


def test_address_spelled_in_another_way_is_unknown() -> None:
    _, address = started()
    upload_id, terms, seal = address.split(".")
    spellings = [
        address.upper(),
        f" {address}",
        f"{address} ",
        f"{address}\n",
        f"{address}=",
        f"{address}==",
        f"{address}.",
        f"{upload_id}.{terms[0]}0{terms[1:]}.{seal}",
        f"{upload_id}.{terms[0]}+{terms[1:]}.{seal}",
        f"{upload_id}.{terms[0]}_{terms[1:]}.{seal}",
        f"{upload_id}.{terms[0]}0x{terms[1:]}.{seal}",
        f"{upload_id}.2{terms[1:]}.{seal}",
        f"{upload_id.replace('-', '')}.{terms}.{seal}",
        f"{upload_id}.{terms}",
        upload_id,
    ]
    for spelling in spellings:
        with pytest.raises(UploadUnknown):
            open_address(KEY, spelling, REPOSITORY, OWNER, NOW_MS)


@given(st.one_of(st.text(max_size=100), st.from_regex(r"[0-9a-f-]{36}\.[01][0-9a-f]{1,17}\.[\w-]{22}", fullmatch=True)))
@budget(200)
def test_address_of_any_text_is_unknown(text: str) -> None:
    with pytest.raises(UploadUnknown):
        open_address(KEY, text, REPOSITORY, OWNER, 0)
