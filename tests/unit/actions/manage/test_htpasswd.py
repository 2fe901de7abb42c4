"""Which lines of an htpasswd file can be taken."""

import pytest

from entrepot.actions.manage import htpasswd
from entrepot.errors import TooLarge

HASH = "$2y$05$" + "a" * 53


def test_lines_with_bcrypt_hashes_are_taken() -> None:
    text = f"alice:{HASH}\r\n\n# a comment\n  bob:{HASH.replace('2y', '2b')}  \n"

    entries, refused = htpasswd.parse(text)

    assert [(entry.line, entry.name) for entry in entries] == [(1, "alice"), (4, "bob")]
    assert refused == []


@pytest.mark.parametrize(
    "line",
    [
        "alice",
        "alice:",
        ":" + HASH,
        "alice:password",
        "alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
        "alice:$apr1$8Cn4yQ8e$hCyZ4hcQ0cFq2hC0N1lVa/",
        "alice:" + HASH[:-1],
        f"alice:{HASH}:more",
        "alice:$2y$04$" + "a" * 53,
        "alice:$2y$31$" + "a" * 53,
        "alice:$2x$05$" + "a" * 53,
        f"robot+alice:{HASH}",
        f"team/alice:{HASH}",
        f"al\u200bice:{HASH}",
    ],
)
def test_line_of_another_kind_is_refused_with_a_reason(line: str) -> None:
    entries, (refused,) = htpasswd.parse(f"# users\n{line}\n")

    assert entries == []
    assert refused.line == 2
    assert refused.reason
    assert HASH not in refused.reason


def test_name_that_is_there_twice_is_taken_once() -> None:
    entries, refused = htpasswd.parse(f"alice:{HASH}\nalice:{HASH.replace('a', 'b')}\n")

    assert [entry.password_hash for entry in entries] == [HASH]
    assert [one.line for one in refused] == [2]


def test_file_with_too_many_lines_is_refused() -> None:
    with pytest.raises(TooLarge):
        htpasswd.parse("\n" * (htpasswd.LINES_MAX + 1))
