"""Where a browser may be sent once it is signed in: never to somebody else."""

import pytest

from entrepot.http.web import return_to
from entrepot.http.web.return_to import CHARACTERS_MAX, ReturnInvalid


@pytest.mark.parametrize(
    "path", ["/", "/repositories", "/r/team/app?tab=tags&q=a%20b#top", "/a//b", "/?next=https://evil.example/"]
)
def test_path_of_our_own_is_kept(path: str) -> None:
    assert return_to.parse(path) == path


def test_nothing_is_the_first_page() -> None:
    assert return_to.parse("") == "/"


@pytest.mark.parametrize(
    "text",
    [
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/a\\b",
        "https://evil.example/",
        "javascript:alert(1)",
        "evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "/\r\nset-cookie: a=b",
        " //evil.example",
        "/ /evil.example",
        "/\x00",
        "/\x7f",
        "/é",
        "/\u2028",
        "/" + "a" * CHARACTERS_MAX,
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ReturnInvalid):
        return_to.parse(text)
