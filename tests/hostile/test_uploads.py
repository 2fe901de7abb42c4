"""Uploads whose ranges lie, whose addresses were never given to anybody, and too many of them."""

import string
import time
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from entrepot.content import uploads
from entrepot.oci.name import RepositoryName
from entrepot.principal import ANONYMOUS, Principal
from tests.hostile.answers import assert_refused, assert_well_formed
from tests.hostile.remains import open_uploads, remains, upload_files
from tests.hostile.target import Image, Target, sha256, sha512
from tests.hostile.wire import Answer, chunked
from tests.peers.entrepot import Entrepot

REPOSITORY = "hostile/uploads"
UPLOADS_MAX = 20

SIZES = (1, 20_000)
"""How many times the content of a test: a small blob is kept in another way than a large one."""

NOT_RANGES = {
    "words": "a-b",
    "empty": "",
    "no-end": "0-",
    "no-start": "-4",
    "negative": "-1--5",
    "spaces": "0 - 4",
    "comma": "0-4, 5-9",
    "hexadecimal": "0x0-0x4",
    "sign": "+0-+4",
    "float": "0.0-4.0",
    "exponent": "0-4e0",
    "unit": "items 0-4",
    "two-units": "bytes bytes 0-4",
    "digits-of-others": "\u0660-\u0664",
    "superscript": b"\xb2-\xb3",
    "not-utf-8": b"\xff-\xfe",
    "20-digits": "0-99999999999999999999",
    "10000-digits": "0-" + "9" * 10_000,
    "reversed": "4-0",
    "reversed-huge": "9999999999999999999-0",
    "star": "*/5",
    "total-is-a-word": "0-4/all",
}
WRONG_LENGTHS = ("0-3", "0-5", "0-9999999999999999999", "0-0", "0-4294967300")
WRONG_STARTS = ("5-9", "1-5", "4294967296-4294967300", "9223372036854775807-9223372036854775811")


@pytest.fixture
def location(target: Target) -> str:
    """The address of a new upload."""
    return target.start_upload(REPOSITORY)


@pytest.fixture(scope="module")
def limited_target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A server on which a user may have few unfinished uploads."""
    config = f"[registry]\nuploads_per_user_max = {UPLOADS_MAX}\n"
    with Entrepot(tmp_path_factory.mktemp("limited"), config=config) as server:
        yield Target(server)
    server.remove_data()


# Ranges.


@pytest.mark.parametrize("content_range", NOT_RANGES.values(), ids=NOT_RANGES)
def test_content_range_that_is_none_is_refused(
    target: Target, location: str, content_range: str | bytes, nothing_left: None
) -> None:
    headers = [("Content-Range", content_range)]
    for method, query in (("PATCH", ""), ("PUT", f"?digest={sha256(b'hello')}")):
        answer = target.ask(method, location + query, headers, b"hello")
        assert_refused(answer, 400, "BLOB_UPLOAD_INVALID")
    assert _offset(target, location) == 0


@pytest.mark.parametrize("content_range", WRONG_LENGTHS)
def test_content_range_of_another_length_than_the_body_is_refused(
    target: Target, location: str, content_range: str, nothing_left: None
) -> None:
    for method, query in (("PATCH", ""), ("PUT", f"?digest={sha256(b'hello')}")):
        answer = target.ask(method, location + query, [("Content-Range", content_range)], b"hello")
        assert_refused(answer, 400, "SIZE_INVALID")


@pytest.mark.parametrize("content_range", ["0-3", "0-5", "0-9999999999999999999", "0-0"])
def test_content_range_of_another_length_than_the_chunks_is_refused(
    target: Target, location: str, content_range: str, nothing_left: None
) -> None:
    headers = [("Content-Range", content_range), ("Transfer-Encoding", "chunked")]
    for method, query in (("PATCH", ""), ("PUT", f"?digest={sha256(b'hello')}")):
        answer = target.ask(method, location + query, headers, chunked(b"hel", b"lo"))
        assert_refused(answer, 400, "SIZE_INVALID")
    assert _offset(target, location) == 0


@pytest.mark.parametrize("content_range", WRONG_STARTS)
def test_content_range_with_a_gap_is_out_of_range(
    target: Target, location: str, content_range: str, nothing_left: None
) -> None:
    for method, query in (("PATCH", ""), ("PUT", f"?digest={sha256(b'hello')}")):
        answer = target.ask(method, location + query, [("Content-Range", content_range)], b"hello")
        assert_refused(answer, 416, "BLOB_UPLOAD_INVALID")
    assert _offset(target, location) == 0


def test_content_range_that_goes_back_is_out_of_range(target: Target, location: str) -> None:
    assert target.ask("PATCH", location, [("Content-Range", "0-4")], b"hello").status == 202
    before = remains(target.data)
    for content_range in ("0-4", "1-5", "4-8", "6-10"):
        answer = target.ask("PATCH", location, [("Content-Range", content_range)], b"HELLO")
        assert_refused(answer, 416, "BLOB_UPLOAD_INVALID")
    assert remains(target.data) == before
    assert _offset(target, location) == 5
    answer = target.ask("PUT", f"{location}?digest={sha256(b'hello!')}", [("Content-Range", "5-5")], b"!")
    assert answer.status == 201


def test_content_range_twice_is_taken_once(target: Target, location: str) -> None:
    answer = target.ask("PATCH", location, [("Content-Range", "0-4"), ("Content-Range", "5-9")], b"hello")
    assert answer.status == 202
    assert _offset(target, location) == 5
    assert target.ask("DELETE", location).status == 204


# Digests.


@pytest.mark.parametrize("digest", [sha256(b"other"), sha512(b"other"), sha256(b"")])
def test_upload_with_another_digest_leaves_nothing(
    target: Target, location: str, digest: str, nothing_left: None
) -> None:
    assert_refused(target.ask("PUT", f"{location}?digest={digest}", body=b"hello"), 400, "DIGEST_INVALID")
    answer = target.ask("POST", f"/v2/{REPOSITORY}/blobs/uploads/?digest={digest}", body=b"hello")
    assert_refused(answer, 400, "DIGEST_INVALID")
    second = target.start_upload(REPOSITORY)
    assert target.ask("PATCH", second, body=b"hello").status == 202
    assert_refused(target.ask("PUT", f"{second}?digest={digest}"), 400, "DIGEST_INVALID")


def test_upload_of_nothing_under_a_digest_leaves_nothing(target: Target, location: str, nothing_left: None) -> None:
    assert_refused(target.ask("PUT", f"{location}?digest={sha256(b'hello')}"), 400, "DIGEST_INVALID")
    answer = target.ask("POST", f"/v2/{REPOSITORY}/blobs/uploads/?digest={sha256(b'hello')}")
    assert_refused(answer, 400, "DIGEST_INVALID")


@pytest.mark.parametrize("times", SIZES)
def test_upload_finished_twice_keeps_its_blob(target: Target, location: str, times: int) -> None:
    content = b"finished twice" * times
    digest = sha256(content)
    for attempt in range(3):
        # A client that did not hear the answer sends the same again.
        answer = target.ask("PUT", f"{location}?digest={digest}", body=content)
        assert answer.status in ({201} if attempt == 0 else {201, 404})
        assert _blob(target, digest).body == content
    assert target.ask("PUT", f"{location}?digest={digest}").status in {201, 404}
    assert _blob(target, digest).body == content


@pytest.mark.parametrize("times", SIZES)
def test_upload_that_is_over_does_not_lend_its_digest_to_other_bytes(target: Target, times: int) -> None:
    good, evil = b"good bytes" * times, b"evil bytes" * times
    for round_ in range(6):
        # Each request over a connection of its own: the workers take turns, in every order.
        content, other = good + b"%d" % round_, evil + b"%d" % round_
        location = target.start_upload(REPOSITORY)
        assert target.ask("PATCH", location, body=content).status == 202
        assert_refused(target.ask("PUT", f"{location}?digest={sha256(b'wrong')}"), 400, "DIGEST_INVALID")
        target.ask("PATCH", location, body=other)
        answer = target.ask("PUT", f"{location}?digest={sha256(content)}")
        assert answer.status in {400, 404}, answer
        assert _blob(target, sha256(content)).status == 404


@pytest.mark.parametrize("times", SIZES)
def test_upload_written_by_two_requests_at_once_has_the_bytes_of_one(target: Target, times: int) -> None:
    for round_ in range(6):
        good, evil = b"good" * 10 * times + b"%d" % round_, b"evil" * 10 * times + b"%d" % round_
        location = target.start_upload(REPOSITORY)
        with target.connect() as stale:
            # It is let in while the upload is empty, and its bytes come when it is not.
            whole = target.request("PATCH", location, [("Expect", "100-continue")], evil)
            stale.send(whole[: -len(evil)])
            let_in = stale.answer()
            assert let_in is not None
            assert let_in.status == 100
            assert target.ask("PATCH", location, body=good).status == 202
            stale.send(evil)
            assert_refused(stale.answer(), 416, "BLOB_UPLOAD_INVALID")
        assert target.ask("PUT", f"{location}?digest={sha256(good)}").status == 201
        assert _blob(target, sha256(good)).body == good


@pytest.mark.parametrize("times", SIZES)
def test_upload_finished_while_another_request_is_let_in_keeps_its_blob(target: Target, times: int) -> None:
    for round_ in range(6):
        good, evil = b"good" * 10 * times + b"!%d" % round_, b"evil" * 10 * times + b"!%d" % round_
        location = target.start_upload(REPOSITORY)
        assert target.ask("PATCH", location, body=good[:100]).status == 202
        with target.connect() as stale:
            whole = target.request("PATCH", location, [("Expect", "100-continue")], evil)
            stale.send(whole[: -len(evil)])
            let_in = stale.answer()
            assert let_in is not None
            assert let_in.status == 100
            assert target.ask("PUT", f"{location}?digest={sha256(good)}", body=good[100:]).status == 201
            stale.send(evil)
            answer = stale.answer()
        assert answer is not None
        assert answer.status in {404, 416}
        assert_well_formed(answer)
        assert _blob(target, sha256(good)).body == good


# Addresses.


def _forgeries(location: str) -> dict[str, str]:
    base, _, address = location.rpartition("/")
    upload_id, terms, seal = address.split(".")
    other = "a" if seal[0] != "a" else "b"
    return {
        "id-only": f"{base}/{upload_id}",
        "no-seal": f"{base}/{upload_id}.{terms}.",
        "another-seal": f"{base}/{upload_id}.{terms}.{other}{seal[1:]}",
        "longer-seal": f"{base}/{address}A",
        "padded-seal": f"{base}/{address}==",
        "another-id": f"{base}/00000000-0000-4000-8000-000000000000.{terms}.{seal}",
        "upper-case-id": f"{base}/{upload_id.upper()}.{terms}.{seal}",
        "later": f"{base}/{upload_id}.{terms[:-1]}{'0' if terms[-1] != '0' else '1'}.{seal}",
        "another-algorithm": f"{base}/{upload_id}.1{terms[1:]}.{seal}",
        "no-algorithm": f"{base}/{upload_id}.2{terms[1:]}.{seal}",
        "algorithm-of-others": f"{base}/{upload_id}.%D9%A0{terms[1:]}.{seal}",
        "line-break": f"{base}/{upload_id}.0%0A{terms[1:]}.{seal}",
        "space": f"{base}/{upload_id}.0%20{terms[1:]}.{seal}",
        "underscore": f"{base}/{upload_id}.{terms[:2]}_{terms[2:]}.{seal}",
        "sign": f"{base}/{upload_id}.0%2B{terms[1:]}.{seal}",
        "prefix": f"{base}/{upload_id}.00x{terms[1:]}.{seal}",
        "leading-zero": f"{base}/{upload_id}.00{terms[1:]}.{seal}",
        "upper-case-time": f"{base}/{upload_id}.{terms.upper()}.{seal}",
        "endless": f"{base}/{upload_id}.0{'f' * 5_000}.{seal}",
        "negative": f"{base}/{upload_id}.0-{terms[1:]}.{seal}",
        "another-part": f"{base}/{address}.{seal}",
        "not-ascii": f"{base}/{upload_id}.{terms}.%C3%A9{seal}",
        "not-utf-8": f"{base}/{upload_id}.{terms}.%ff{seal}",
        "nul": f"{base}/{address}%00",
        "parent": f"{base}/..%2f..%2f..%2fkeys%2fupload.key",
        "uuid": f"{base}/{string.hexdigits}",
        "dots": f"{base}/{'.' * 10_000}",
        "another-repository": location.replace(REPOSITORY, "hostile/held"),
        "repository-below": location.replace(REPOSITORY, f"{REPOSITORY}/below"),
    }


FORGERIES = tuple(_forgeries("/v2/a/blobs/uploads/a.01a.abc"))


@pytest.mark.parametrize("kind", FORGERIES)
def test_upload_address_that_was_not_given_is_unknown(target: Target, location: str, kind: str) -> None:
    assert target.ask("PATCH", location, body=b"hello").status == 202
    before = remains(target.data)
    forged = _forgeries(location)[kind]
    if forged == location:
        return  # a time without letters has no upper case
    for method, query, body in (
        ("GET", "", b""),
        ("PATCH", "", b"evil"),
        ("PUT", f"?digest={sha256(b'hello')}", b""),
        ("PUT", f"?digest={sha256(b'evil')}", b"evil"),
        ("DELETE", "", b""),
    ):
        assert_refused(target.ask(method, forged + query, body=body), 404, "BLOB_UPLOAD_UNKNOWN")
    assert remains(target.data) == before
    assert target.ask("DELETE", location).status == 204


def test_upload_address_percent_encoded_is_the_same(target: Target, location: str) -> None:
    base, _, address = location.rpartition("/")
    spelled = "".join(f"%{ord(character):02x}" for character in address)
    answer = target.ask("GET", f"{base}/{spelled}")
    assert (answer.status, answer.header("location")) == (204, location)


def test_upload_address_that_has_expired_is_unknown(target: Target, nothing_left: None) -> None:
    key = (target.data / "keys" / "upload.key").read_bytes()
    repository, owner = RepositoryName(REPOSITORY), Principal("local", "admin", user_id=1)
    now_ms = int(time.time() * 1000)
    for expires_at_ms, status in ((now_ms + 3_600_000, 204), (now_ms - 3_600_000, 404), (1, 404)):
        _, address = uploads.start(key, repository, owner, "sha256", expires_at_ms)
        assert target.ask("GET", f"/v2/{REPOSITORY}/blobs/uploads/{address}").status == status


def test_upload_address_of_another_user_is_unknown(target: Target, nothing_left: None) -> None:
    key = (target.data / "keys" / "upload.key").read_bytes()
    later_ms = int(time.time() * 1000) + 3_600_000
    others = (
        Principal("local", "mallory", user_id=2),
        Principal("local", "admin ", user_id=1),
        Principal("ldap", "admin", user_id=1),
        Principal("local", "admin", user_id=2),
        ANONYMOUS,
    )
    for owner in others:
        _, address = uploads.start(key, RepositoryName(REPOSITORY), owner, "sha256", later_ms)
        answer = target.ask("PATCH", f"/v2/{REPOSITORY}/blobs/uploads/{address}", body=b"hello")
        assert_refused(answer, 404, "BLOB_UPLOAD_UNKNOWN")


def test_upload_address_without_credentials_is_challenged(target: Target, location: str, nothing_left: None) -> None:
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        assert_refused(target.ask(method, location, authorization=None), 401, "UNAUTHORIZED")
    assert _offset(target, location) == 0


def test_upload_that_was_cancelled_stays_so(target: Target, location: str) -> None:
    files = upload_files(target.data)
    assert target.ask("PATCH", location, body=b"hello").status == 202
    assert target.ask("DELETE", location).status == 204
    for method, query, body in (
        ("DELETE", "", b""),
        ("GET", "", b""),
        ("PATCH", "", b"hello"),
        ("PUT", f"?digest={sha256(b'hello')}", b"hello"),
    ):
        assert_refused(target.ask(method, location + query, body=body), 404, "BLOB_UPLOAD_UNKNOWN")
    assert upload_files(target.data) == files


def test_upload_that_was_cancelled_before_it_had_bytes_stays_so(target: Target, location: str) -> None:
    files = upload_files(target.data)
    assert target.ask("DELETE", location).status == 204
    assert_refused(target.ask("PATCH", location, body=b"hello"), 404, "BLOB_UPLOAD_UNKNOWN")
    assert_refused(target.ask("DELETE", location), 404, "BLOB_UPLOAD_UNKNOWN")
    assert upload_files(target.data) == files


# How many.


def test_uploads_started_by_thousands_leave_nothing(target: Target, nothing_left: None) -> None:
    with target.connect() as connection:
        data = target.request("POST", f"/v2/{REPOSITORY}/blobs/uploads/", [("Content-Length", "0")], close=False)
        for _ in range(60):
            connection.send(data * 50)
            answers = [connection.answer() for _ in range(50)]
            assert {answer.status for answer in answers if answer} == {202}


def test_uploads_over_the_limit_wait_for_room(limited_target: Target) -> None:
    target = limited_target
    locations = [target.start_upload(REPOSITORY) for _ in range(UPLOADS_MAX + 3)]
    opened, refused = locations[:UPLOADS_MAX], locations[UPLOADS_MAX:]
    for location in opened:
        assert target.ask("PATCH", location, body=b"hello").status == 202
    before = remains(target.data)
    for location, body in zip(refused, (b"hello", b"x" * 200_000, b"x" * 20_000_000), strict=True):
        assert_refused(target.ask("PATCH", location, body=body), 429, "TOOMANYREQUESTS")
        assert _offset(target, location) == 0
    assert remains(target.data) == before
    assert open_uploads(target.data) == UPLOADS_MAX
    # What is open goes on, what is whole at once does not count, and what ends makes room.
    assert target.ask("PATCH", opened[0], body=b"!").status == 202
    target.push_blob(REPOSITORY, b"at once")
    assert target.ask("DELETE", opened[0]).status == 204
    assert target.ask("PATCH", refused[0], body=b"hello").status == 202
    assert_refused(target.ask("PATCH", refused[1], body=b"hello"), 429, "TOOMANYREQUESTS")
    assert target.ask("PUT", f"{opened[1]}?digest={sha256(b'hello')}").status == 201
    assert target.ask("PATCH", refused[1], body=b"hello").status == 202
    assert_refused(target.ask("PATCH", refused[2], body=b"hello"), 429, "TOOMANYREQUESTS")
    assert_refused(target.ask("PUT", f"{opened[2]}?digest={sha256(b'wrong')}"), 400, "DIGEST_INVALID")
    assert target.ask("PATCH", refused[2], body=b"hello").status == 202
    for location in (*opened[3:], *refused):
        assert target.ask("DELETE", location).status == 204
    assert open_uploads(target.data) == 0
    assert upload_files(target.data) == []


# Mounting.


@pytest.mark.parametrize(
    "query",
    [
        "mount={unknown}&from=hostile/held",
        "mount={unknown}",
        "mount={held}&from=hostile/nothing-here",
        "mount={held}&from=hostile/uploads",
        "mount={unknown}&from=",
    ],
)
def test_mount_that_cannot_be_done_starts_an_upload(
    target: Target, image: Image, query: str, nothing_left: None
) -> None:
    target_repository = "hostile/mounts"
    text = query.format(unknown=sha256(b"nobody has this"), held=sha256(image.layer))
    answer = target.ask("POST", f"/v2/{target_repository}/blobs/uploads/?{quote(text, safe='=&:/')}")
    assert answer.status == 202
    assert answer.header("location")


def _offset(target: Target, location: str) -> int:
    """How far the server says that the upload is."""
    answer = target.ask("GET", location)
    assert answer.status == 204
    last = int((answer.header("range") or "").removeprefix("0-"))
    return last + 1 if last else 0


def _blob(target: Target, digest: str) -> Answer:
    return target.ask("GET", f"/v2/{REPOSITORY}/blobs/{digest}")
