"""Digests: one spelling each, or an error."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.oci.digest import ALGORITHMS, Digest, new_hasher, parse_algorithm
from entrepot.oci.errors import DigestInvalid
from tests.budgets import budget

SHA256 = "sha256:" + "0123456789abcdef" * 4
SHA512 = "sha512:" + "0123456789abcdef" * 8


@pytest.mark.parametrize("text", [SHA256, SHA512])
def test_digest_when_well_formed_keeps_its_text(text: str) -> None:
    digest = Digest.parse(text)

    assert digest == text
    assert f"{digest.algorithm}:{digest.hex}" == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "sha256",
        "sha256:",
        SHA256[:-1],
        SHA256 + "0",
        SHA512[:-1],
        SHA512 + "0",
        SHA256.upper(),
        "sha256:" + "A" * 64,
        "SHA256:" + "a" * 64,
        "sha256:" + "g" * 64,
        "sha256:" + "٣" * 64,
        "sha256:" + SHA512[7:],
        "sha512:" + SHA256[7:],
        "sha384:" + "0" * 96,
        "md5:" + "0" * 32,
        "sha256+b64:" + "0" * 64,
        " " + SHA256,
        SHA256 + "\n",
        SHA256 + "\x00",
        SHA256 + "/..",
        "sha256:../" + "0" * 61,
    ],
)
def test_digest_when_not_well_formed_is_refused(text: str) -> None:
    with pytest.raises(DigestInvalid) as refusal:
        Digest.parse(text)

    assert refusal.value.detail == {"digest": text}


def test_digest_when_endless_is_not_repeated_whole() -> None:
    with pytest.raises(DigestInvalid) as refusal:
        Digest.parse("a" * 10_000)

    assert len(str(refusal.value.detail)) < 1000


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(content=st.binary(max_size=200))
@budget(100)
def test_digest_of_any_content_is_that_of_the_library(algorithm: str, content: bytes) -> None:
    digest = Digest.of(content, algorithm)
    hasher = new_hasher(algorithm)
    hasher.update(content)

    assert Digest.parse(digest) == digest
    assert digest.algorithm == algorithm
    assert digest.hex == hasher.hexdigest() == hashlib.new(algorithm, content).hexdigest()


@given(st.text(max_size=100))
@budget(100)
def test_digest_of_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        digest = Digest.parse(text)
    except DigestInvalid:
        return
    assert digest == text


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_algorithm_when_registered_is_taken(algorithm: str) -> None:
    assert parse_algorithm(algorithm) == algorithm


@pytest.mark.parametrize("text", ["", "md5", "sha1", "sha384", "SHA256", "sha256 ", "sha-256", "blake3", "x" * 5000])
def test_algorithm_when_unknown_is_refused(text: str) -> None:
    with pytest.raises(DigestInvalid) as refusal:
        parse_algorithm(text)

    assert "sha256" in refusal.value.message
    assert len(str(refusal.value.detail)) < 300
