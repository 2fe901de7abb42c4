"""What is sealed is read by nobody, and comes back as it was or not at all."""

import pytest

from entrepot.identity import sealing

KEY, OTHER_KEY = b"k" * 32, b"o" * 32


@pytest.mark.parametrize("content", [b"", b"\x00\xff", b"a" * 3000])
def test_content_comes_back(content: bytes) -> None:
    assert sealing.unseal(KEY, "purpose", sealing.seal(KEY, "purpose", content)) == content


def test_content_is_not_to_be_read_and_never_looks_the_same() -> None:
    sealed = {sealing.seal(KEY, "purpose", b"a" * 30) for _ in range(10)}

    assert len(sealed) == 10
    assert len({text[:8] for text in sealed}) == 10
    assert len({text[-8:] for text in sealed}) == 10


def test_another_key_or_purpose_opens_nothing() -> None:
    sealed = sealing.seal(KEY, "purpose", b"content")

    assert sealing.unseal(OTHER_KEY, "purpose", sealed) is None
    assert sealing.unseal(KEY, "purpose ", sealed) is None
    assert sealing.unseal(KEY, "", sealed) is None


def test_what_is_changed_anywhere_is_refused() -> None:
    sealed = sealing.seal(KEY, "purpose", b"content!!")
    assert len(sealed) % 4 == 0, "each character has six bits of it"

    for position, character in enumerate(sealed):
        changed = sealed[:position] + ("B" if character == "A" else "A") + sealed[position + 1 :]
        assert sealing.unseal(KEY, "purpose", changed) is None
    for length in range(len(sealed)):
        assert sealing.unseal(KEY, "purpose", sealed[:length]) is None


@pytest.mark.parametrize("text", ["", "=", "A", "é" * 100, "\x00" * 100, "A" * 60, "A" * 5000, "\udcff"])
def test_what_was_never_sealed_is_refused(text: str) -> None:
    assert sealing.unseal(KEY, "purpose", text) is None
