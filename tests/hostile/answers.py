"""What an answer to bad input has to look like, whatever was wrong with it."""

from tests.hostile.wire import Answer

OCI_CODES = frozenset(
    {
        "BLOB_UNKNOWN",
        "BLOB_UPLOAD_INVALID",
        "BLOB_UPLOAD_UNKNOWN",
        "DIGEST_INVALID",
        "MANIFEST_BLOB_UNKNOWN",
        "MANIFEST_INVALID",
        "MANIFEST_UNKNOWN",
        "NAME_INVALID",
        "NAME_UNKNOWN",
        "SIZE_INVALID",
        "UNAUTHORIZED",
        "DENIED",
        "UNSUPPORTED",
        "TOOMANYREQUESTS",
    }
)
"""The codes of the distribution specification, "Error Codes"."""
WEB_SERVER_STATUSES = frozenset({400, 413, 414, 431})
"""What the web server answers, without a body, to what is not HTTP, or too large to be looked at."""


def assert_refused(answer: Answer | None, status: int, code: str, *, head: bool = False) -> None:
    """The status and the error code that the specification names, in its format, with a message."""
    assert answer is not None, "the connection was closed without an answer"
    assert answer.status == status, (answer.status, answer.body[:500])
    assert_well_formed(answer, head=head)
    if not head:
        assert answer.json["errors"][0]["code"] == code, answer.body[:500]


def assert_well_formed(answer: Answer, *, head: bool = False) -> None:
    """No failure of the server, and errors as the specification writes them."""
    assert answer.status < 500, (answer.status, answer.body[:500])
    if answer.from_web_server:
        assert answer.status in WEB_SERVER_STATUSES, answer
        assert answer.body == b""
        return
    if answer.status < 400 or head:
        return
    assert answer.header("content-type") == "application/json"
    content = answer.json
    assert set(content) == {"errors"}
    assert content["errors"]
    for error in content["errors"]:
        assert error["code"] in OCI_CODES, error
        assert isinstance(error["message"], str), error
        assert len(error["message"]) > 10, error
    if answer.status == 401:
        assert (answer.header("www-authenticate") or "").startswith('Bearer realm="')
    if answer.status == 405:
        assert answer.header("allow")
    if answer.status == 429:
        assert (answer.header("retry-after") or "").isdecimal()
