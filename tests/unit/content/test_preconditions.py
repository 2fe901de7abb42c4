"""What a client says that it has."""

import pytest

from entrepot.content.preconditions import known_digests

DIGEST = "sha256:abc"
ETAG = f'"{DIGEST}"'


@pytest.mark.parametrize(
    ("text", "known"),
    [
        (ETAG, True),
        (f"W/{ETAG}", True),
        ("*", True),
        (" * ", True),
        (f'"a", {ETAG} ,"b"', True),
        ('"a"', False),
        ("sha256:abc", False),
        ("", False),
        (None, False),
    ],
)
def test_digest_is_known_to_a_client_that_says_so(text: str | None, known: bool) -> None:
    assert (DIGEST in known_digests(text)) is known
