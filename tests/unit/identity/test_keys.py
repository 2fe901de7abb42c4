"""The registry's own keys: made once, whoever starts first, and for nobody else to read."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from stat import S_IMODE

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from entrepot.identity.key_files import KeysUnreadable
from entrepot.identity.keys import UPLOAD_KEY_BYTES, Keys, load_or_make


def _same(one: Keys, other: Keys) -> bool:
    return (
        one.upload == other.upload
        and one.token.newest().private.private_bytes_raw() == other.token.newest().private.private_bytes_raw()
        and one.audit.private_bytes_raw() == other.audit.private_bytes_raw()
    )


def test_keys_when_there_are_none_are_made(tmp_path: Path) -> None:
    keys = load_or_make(tmp_path / "data" / "keys")

    assert len(keys.upload) == UPLOAD_KEY_BYTES
    assert sorted(path.name for path in (tmp_path / "data" / "keys").iterdir()) == [
        "audit.pem",
        "token.pem",
        "upload.key",
    ]


def test_keys_when_made_are_for_nobody_else_to_read(tmp_path: Path) -> None:
    load_or_make(tmp_path / "keys")

    assert S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert [S_IMODE(path.stat().st_mode) for path in (tmp_path / "keys").iterdir()] == [0o600, 0o600, 0o600]


def test_keys_when_loaded_again_are_the_same(tmp_path: Path) -> None:
    assert _same(load_or_make(tmp_path), load_or_make(tmp_path))


def test_keys_of_two_registries_are_different(tmp_path: Path) -> None:
    one, other = load_or_make(tmp_path / "one"), load_or_make(tmp_path / "other")

    assert one.upload != other.upload
    assert one.token.newest().private.private_bytes_raw() != other.token.newest().private.private_bytes_raw()
    assert (
        one.audit.private_bytes_raw()
        != other.audit.private_bytes_raw()
        != one.token.newest().private.private_bytes_raw()
    )


def test_key_that_is_missing_is_made_beside_the_other(tmp_path: Path) -> None:
    first = load_or_make(tmp_path)
    (tmp_path / "token.pem").unlink()

    second = load_or_make(tmp_path)

    assert second.upload == first.upload
    assert second.token.newest().private.private_bytes_raw() != first.token.newest().private.private_bytes_raw()


def test_keys_made_by_many_at_once_are_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: load_or_make(tmp_path / "keys"), range(16)))

    assert all(_same(keys, made[0]) for keys in made)
    assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == ["audit.pem", "token.pem", "upload.key"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("token.pem", b""),
        ("token.pem", b"garbage"),
        ("audit.pem", b""),
        ("audit.pem", b"garbage"),
        ("upload.key", b""),
        ("upload.key", b"short"),
        ("upload.key", b"x" * (UPLOAD_KEY_BYTES + 1)),
    ],
)
def test_key_that_is_damaged_is_not_replaced(tmp_path: Path, name: str, content: bytes) -> None:
    load_or_make(tmp_path)
    (tmp_path / name).write_bytes(content)

    with pytest.raises(KeysUnreadable) as refusal:
        load_or_make(tmp_path)

    assert str(tmp_path) in refusal.value.message
    assert (tmp_path / name).read_bytes() == content


@pytest.mark.parametrize("name", ["token.pem", "audit.pem"])
def test_key_of_another_kind_is_refused(tmp_path: Path, name: str) -> None:
    pem = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / name).write_bytes(pem)

    with pytest.raises(KeysUnreadable, match="not those of a registry"):
        load_or_make(tmp_path)


def test_keys_where_a_file_is_in_the_way_are_refused(tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes(b"")

    with pytest.raises(KeysUnreadable):
        load_or_make(tmp_path / "keys")


def test_keys_when_printed_show_nothing(tmp_path: Path) -> None:
    keys = load_or_make(tmp_path)

    assert "upload" not in repr(keys)
    assert repr(keys.upload) not in repr(keys)
