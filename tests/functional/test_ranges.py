"""Parts of a blob, and blobs that a client has already."""

import email.parser
import email.policy

import httpx
import pytest

from tests.functional.repository import LARGE_BYTES, SMALL_BYTES, Repository, code_of, digest_of, noise
from tests.functional.setups import SetUp


@pytest.fixture(params=[SMALL_BYTES, LARGE_BYTES])
def content(request: pytest.FixtureRequest, repository: Repository) -> bytes:
    """A blob of the repository."""
    pushed = noise(request.param)
    repository.push_blob(pushed)
    return pushed


def sent_elsewhere(set_up: SetUp, content: bytes) -> bool:
    """Whether an object store answers, which does by itself what it can."""
    return set_up.redirects and len(content) == LARGE_BYTES


def get_range(repository: Repository, content: bytes, ranges: str, **headers: str) -> httpx.Response:
    return repository.blob(digest_of(content), headers={"range": f"bytes={ranges}", **headers})


@pytest.mark.parametrize(
    ("ranges", "start", "end"),
    [("0-0", 0, 1), ("0-99", 0, 100), ("100-199", 100, 200), ("990-", 990, None), ("-10", -10, None), ("0-", 0, None)],
)
def test_one_range(repository: Repository, content: bytes, ranges: str, start: int, end: int | None) -> None:
    part = content[start:end]
    answer = get_range(repository, content, ranges)

    assert answer.status_code == 206
    assert answer.content == part
    first = start % len(content)
    assert answer.headers["content-range"] == f"bytes {first}-{first + len(part) - 1}/{len(content)}"
    assert int(answer.headers["content-length"]) == len(part)


def test_range_that_goes_beyond_the_end_is_what_there_is(repository: Repository, content: bytes) -> None:
    answer = get_range(repository, content, f"990-{len(content) + 5}")

    assert (answer.status_code, answer.content) == (206, content[990:])


def test_range_outside_of_the_blob(set_up: SetUp, repository: Repository, content: bytes) -> None:
    answer = get_range(repository, content, f"{len(content)}-")

    assert answer.status_code == 416
    if not sent_elsewhere(set_up, content):
        assert answer.headers["content-range"] == f"bytes */{len(content)}"
        assert code_of(answer) == "SIZE_INVALID"


def parts_of(answer: httpx.Response) -> list[tuple[str, bytes]]:
    """Where each part is from, and its bytes."""
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    parts = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + answer.content)
    return [(part["content-range"], part.get_payload(decode=True)) for part in parts.iter_parts()]


def test_several_ranges(repository: Repository, content: bytes) -> None:
    """An object store sends one range only: several are read through, whatever the store."""
    answer = get_range(repository, content, "100-199,0-9,-5")
    size = len(content)

    assert answer.status_code == 206
    assert parts_of(answer) == [
        (f"bytes 100-199/{size}", content[100:200]),
        (f"bytes 0-9/{size}", content[:10]),
        (f"bytes {size - 5}-{size - 1}/{size}", content[-5:]),
    ]


@pytest.mark.parametrize("count", [33, 1024])
def test_very_many_ranges(repository: Repository, count: int) -> None:
    """As readers of layers that are compressed file by file ask for (zstd:chunked)."""
    content = noise(LARGE_BYTES)
    repository.push_blob(content)
    step = len(content) // count
    wanted = [(number * step, number * step + 100) for number in range(count)]
    answer = get_range(repository, content, ",".join(f"{start}-{end - 1}" for start, end in wanted))

    assert answer.status_code == 206
    assert [part for _, part in parts_of(answer)] == [content[start:end] for start, end in wanted]


def test_ranges_that_touch_or_overlap_are_one(repository: Repository, content: bytes) -> None:
    size = len(content)
    answer = get_range(repository, content, "500-599,0-9,10-19,550-649,15-17")

    assert parts_of(answer) == [(f"bytes 500-649/{size}", content[500:650]), (f"bytes 0-19/{size}", content[:20])]
    everything = get_range(repository, content, ",".join(["0-"] * 1000))
    assert (everything.status_code, everything.content) == (206, content)
    assert everything.headers["content-range"] == f"bytes 0-{size - 1}/{size}"


def test_range_of_the_empty_blob_is_all_of_it(repository: Repository) -> None:
    repository.push_blob(b"")
    for ranges in ("0-", "0-0", "-1", "5-9,11-"):
        answer = get_range(repository, b"", ranges)
        assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("ranges", ["abc", "5-2", "-", "1-2-3"])
def test_range_that_is_none_is_not_looked_at(
    set_up: SetUp, repository: Repository, content: bytes, ranges: str
) -> None:
    if sent_elsewhere(set_up, content):
        return
    answer = get_range(repository, content, ranges)

    assert answer.status_code in {200, 416}
    assert answer.status_code == 416 or answer.content == content


def test_blob_that_the_client_has_is_not_sent(repository: Repository, content: bytes) -> None:
    etag = repository.blob(digest_of(content), "HEAD").headers["etag"]
    assert etag == f'"{digest_of(content)}"'

    for known in (etag, f"W/{etag}", "*", f'"other", {etag}'):
        answer = repository.blob(digest_of(content), headers={"if-none-match": known})
        assert (answer.status_code, answer.content) == (304, b"")
    assert repository.blob(digest_of(content), headers={"if-none-match": '"other"'}).content == content


def test_manifest_that_the_client_has_is_not_sent(set_up: SetUp, repository: Repository) -> None:
    pushed = repository.push_image("v1")
    etag = repository.manifest("v1").headers["etag"]

    answer = repository.manifest("v1", headers={"if-none-match": etag})
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["docker-content-digest"] == pushed.digest
    moved = repository.push_image("v1")
    assert set_up.soon(lambda: repository.manifest("v1", headers={"if-none-match": etag}).content == moved.payload)


def test_client_is_sent_to_the_object_store_only_for_large_blobs(
    set_up: SetUp, repository: Repository, content: bytes
) -> None:
    with set_up.server.client() as client:
        answer = repository.by(client).blob(digest_of(content))
        head = repository.by(client).blob(digest_of(content), "HEAD")

    assert answer.status_code == (307 if sent_elsewhere(set_up, content) else 200)
    assert head.status_code == 200
    if answer.status_code == 307:
        # The address is good for minutes: nobody may keep it for longer.
        assert answer.headers["cache-control"] == "no-store"
        assert "x-amz-signature" in answer.headers["location"].lower()
        assert set_up.server.password not in answer.headers["location"]
    else:
        assert "immutable" in answer.headers["cache-control"]
