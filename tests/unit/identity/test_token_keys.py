"""Keys that sign bearer tokens: the newest signs, older ones verify for a while, and nobody has to be told."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from stat import S_IMODE

import pytest

from entrepot.identity.key_files import KeysUnreadable
from entrepot.identity.token_keys import LOOK_SECONDS, RETIRED_SECONDS, TokenKey, TokenKeys, load, load_or_make, rotate

NOW = 1_795_600_000


class Time:
    """Passes when it is told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def same(one: TokenKey, other: TokenKey) -> bool:
    return one.private.private_bytes_raw() == other.private.private_bytes_raw()


def test_first_key_is_made_when_there_is_none(tmp_path: Path) -> None:
    keys = TokenKeys(tmp_path)

    assert names(tmp_path) == ["token.pem"]
    assert keys.newest().retired_at is None
    assert keys.find(keys.newest().kid, NOW) is keys.newest()


def test_rotated_key_signs_and_the_one_before_verifies(tmp_path: Path) -> None:
    first = TokenKeys(tmp_path).newest()

    made, removed = rotate(tmp_path, NOW)

    assert removed == []
    assert names(tmp_path) == [f"token-{NOW}.pem", "token.pem"]
    assert S_IMODE((tmp_path / made.name).stat().st_mode) == 0o600
    keys = TokenKeys(tmp_path)
    assert same(keys.newest(), made)
    found = keys.find(first.kid, NOW)
    assert found is not None
    assert same(found, first)


def test_old_key_verifies_until_its_tokens_are_over(tmp_path: Path) -> None:
    first = TokenKeys(tmp_path).newest()
    rotate(tmp_path, NOW)
    keys = TokenKeys(tmp_path)

    assert keys.find(first.kid, NOW + RETIRED_SECONDS - 1) is not None
    assert keys.find(first.kid, NOW + RETIRED_SECONDS) is None
    assert keys.find(keys.newest().kid, NOW + 100 * RETIRED_SECONDS) is keys.newest()


def test_rotation_removes_keys_whose_tokens_are_over(tmp_path: Path) -> None:
    TokenKeys(tmp_path)
    rotate(tmp_path, NOW)

    _, kept = rotate(tmp_path, NOW + RETIRED_SECONDS - 1)
    _, removed = rotate(tmp_path, NOW + RETIRED_SECONDS)

    assert kept == []
    assert [key.name for key in removed] == ["token.pem"]
    assert names(tmp_path) == [f"token-{NOW + seconds}.pem" for seconds in (0, RETIRED_SECONDS - 1, RETIRED_SECONDS)]


def test_rotation_that_revokes_leaves_one_key(tmp_path: Path) -> None:
    TokenKeys(tmp_path)
    rotate(tmp_path, NOW)

    made, removed = rotate(tmp_path, NOW + 1, revoke=True)

    assert len(removed) == 2
    assert names(tmp_path) == [made.name]


def test_rotation_with_a_clock_that_was_set_back_makes_a_newer_key_all_the_same(tmp_path: Path) -> None:
    rotate(tmp_path, NOW)

    made, _ = rotate(tmp_path, NOW - 1000)

    assert made.since == NOW + 1
    assert same(TokenKeys(tmp_path).newest(), made)


def test_rotations_at_once_leave_keys_that_all_agree_on(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: rotate(tmp_path, NOW)[0], range(16)))

    keys = load(tmp_path)
    assert {key.kid for key in made} <= {key.kid for key in keys}
    assert all(name.startswith("token") and name.endswith(".pem") for name in names(tmp_path))


def test_running_process_signs_with_a_new_key_soon(tmp_path: Path) -> None:
    time = Time()
    keys = TokenKeys(tmp_path, time)
    first, version = keys.newest(), keys.version

    made, _ = rotate(tmp_path, NOW)

    assert keys.newest() is first
    time.seconds += LOOK_SECONDS
    assert same(keys.newest(), made)
    assert keys.version != version


def test_unknown_id_has_the_directory_looked_at_at_once_but_only_once_a_second(tmp_path: Path) -> None:
    time = Time()
    keys = TokenKeys(tmp_path, time)
    made, _ = rotate(tmp_path, NOW)
    assert keys.find(made.kid, NOW) is not None

    assert keys.find("made up", NOW) is None
    later, _ = rotate(tmp_path, NOW + 1)
    assert keys.find(later.kid, NOW) is None
    time.seconds += LOOK_SECONDS
    assert keys.find(later.kid, NOW) is not None


def test_key_that_is_removed_verifies_no_more(tmp_path: Path) -> None:
    time = Time()
    keys = TokenKeys(tmp_path, time)
    first = keys.newest()
    rotate(tmp_path, NOW, revoke=True)
    time.seconds += LOOK_SECONDS

    assert keys.find(first.kid, NOW) is None


def test_directory_that_is_damaged_while_the_process_runs_changes_nothing(tmp_path: Path) -> None:
    time = Time()
    keys = TokenKeys(tmp_path, time)
    first = keys.newest()
    (tmp_path / f"token-{NOW}.pem").write_bytes(b"garbage")
    time.seconds += LOOK_SECONDS

    assert keys.newest() is first
    (tmp_path / f"token-{NOW}.pem").unlink()
    (tmp_path / "token.pem").unlink()
    time.seconds += LOOK_SECONDS
    assert keys.newest() is first
    assert names(tmp_path) == []


def test_files_beside_the_keys_are_not_looked_at(tmp_path: Path) -> None:
    for name in ("token-.pem", "token-1.pem.tmp", "token-x.pem", "xtoken.pem", "token-1234567890123.pem"):
        (tmp_path / name).write_bytes(b"garbage")

    assert [key.name for key in load_or_make(tmp_path)] == ["token.pem"]


def test_damaged_key_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "token-1.pem").write_bytes(b"garbage")

    with pytest.raises(KeysUnreadable, match="cannot be read"):
        TokenKeys(tmp_path)


def test_keys_when_printed_show_nothing(tmp_path: Path) -> None:
    assert "private" not in repr(TokenKeys(tmp_path).newest())
