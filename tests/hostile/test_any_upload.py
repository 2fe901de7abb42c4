"""Any order of requests to any number of uploads, held against a model of what has to come of it."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, rule, run_state_machine_as_test

from tests.budgets import budget
from tests.hostile.answers import assert_refused
from tests.hostile.remains import open_uploads, upload_files
from tests.hostile.target import SMALL_BYTES_MAX, Image, Target, sha256, sha512
from tests.hostile.wire import Answer, Headers, chunked

NEVER = sha256(b"what nobody ever sends")
_pieces = st.one_of(st.binary(max_size=20), st.binary(min_size=1, max_size=3).map(lambda piece: piece * 60_000))
_numbers = count()


@dataclass
class Upload:
    """What the server has to know of an upload. At its end, unless it was cancelled, its address can begin another."""

    location: str
    digest_of: Callable[[bytes], str]
    content: bytes = b""
    cancelled: bool = False


class Uploads(RuleBasedStateMachine):
    """Each run has a repository of its own."""

    uploads = Bundle("uploads")

    def __init__(self, target: Target) -> None:
        super().__init__()
        self._target = target
        self._repository = f"fuzz/uploads-{next(_numbers)}"
        self._blobs: dict[str, bytes] = {}
        self._all: list[Upload] = []
        self._files = upload_files(target.data)
        self._open = open_uploads(target.data)

    @rule(target=uploads, large_digest=st.booleans())
    def start(self, large_digest: bool) -> Upload:
        algorithm = "sha512" if large_digest else "sha256"
        answer = self._target.ask("POST", f"/v2/{self._repository}/blobs/uploads/?digest-algorithm={algorithm}")
        assert answer.status == 202
        upload = Upload(answer.header("location") or "", sha512 if large_digest else sha256)
        self._all.append(upload)
        return upload

    @rule(upload=uploads, piece=_pieces, how=st.sampled_from(["length", "range", "chunks", "chunks-with-range"]))
    def append(self, upload: Upload, piece: bytes, how: str) -> None:
        headers: list[tuple[str, str | bytes]] = []
        if "range" in how and piece:
            headers.append(("Content-Range", f"{len(upload.content)}-{len(upload.content) + len(piece) - 1}"))
        if "chunks" in how:
            headers.append(("Transfer-Encoding", "chunked"))
        body = chunked(*filter(None, [piece[:7], piece[7:]])) if "chunks" in how else piece
        answer = self._ask("PATCH", upload, "", headers, body)
        if upload.cancelled:
            assert_refused(answer, 404, "BLOB_UPLOAD_UNKNOWN")
            return
        upload.content += piece
        assert answer.status == 202
        self._assert_at(upload, answer)

    @rule(upload=uploads, start=st.integers(0, 60), piece=st.binary(min_size=1, max_size=20))
    def append_elsewhere(self, upload: Upload, start: int, piece: bytes) -> None:
        start += start >= len(upload.content)
        headers = [("Content-Range", f"{start}-{start + len(piece) - 1}")]
        self._assert_refused(self._ask("PATCH", upload, "", headers, piece), upload, 416, "BLOB_UPLOAD_INVALID")
        answer = self._ask("PUT", upload, f"?digest={NEVER}", headers, piece)
        self._assert_refused(answer, upload, 416, "BLOB_UPLOAD_INVALID")

    @rule(upload=uploads, lie=st.integers(-3, 3).filter(bool), piece=st.binary(min_size=4, max_size=20))
    def append_another_length(self, upload: Upload, lie: int, piece: bytes) -> None:
        start = len(upload.content)
        headers = [("Content-Range", f"{start}-{start + len(piece) - 1 + lie}")]
        for method, query in (("PATCH", ""), ("PUT", f"?digest={NEVER}")):
            # Seen before the upload is looked for, while chunks have to be counted.
            assert_refused(self._ask(method, upload, query, headers, piece), 400, "SIZE_INVALID")
            answer = self._ask(method, upload, query, [*headers, ("Transfer-Encoding", "chunked")], chunked(piece))
            self._assert_refused(answer, upload, 400, "SIZE_INVALID")

    @rule(upload=uploads)
    def look(self, upload: Upload) -> None:
        answer = self._ask("GET", upload)
        if upload.cancelled:
            assert_refused(answer, 404, "BLOB_UPLOAD_UNKNOWN")
            return
        assert answer.status == 204
        self._assert_at(upload, answer)

    @rule(upload=uploads, last=_pieces)
    def finish(self, upload: Upload, last: bytes) -> None:
        content = upload.content + last
        digest = upload.digest_of(content)
        answer = self._ask("PUT", upload, f"?digest={digest}", body=last)
        if upload.cancelled:
            assert_refused(answer, 404, "BLOB_UPLOAD_UNKNOWN")
            return
        assert answer.status == 201
        assert answer.header("docker-content-digest") == digest
        self._blobs[digest] = content
        upload.content = b""

    @rule(upload=uploads, last=st.binary(max_size=20))
    def finish_as_another(self, upload: Upload, last: bytes) -> None:
        answer = self._ask("PUT", upload, f"?digest={NEVER}", body=last)
        self._assert_refused(answer, upload, 400, "DIGEST_INVALID")
        upload.content = b""

    @rule(upload=uploads, digest=st.sampled_from(["", "?digest=", "?digest=sha256:0", "?digest=md5:00"]))
    def finish_as_nothing(self, upload: Upload, digest: str) -> None:
        answer = self._ask("PUT", upload, digest, body=b"last")
        assert_refused(answer, 400, "DIGEST_INVALID")

    @rule(upload=uploads, content=_pieces)
    def finish_again(self, upload: Upload, content: bytes) -> None:
        """Without bytes, for a blob that is there: as a client does that did not hear that it had finished."""
        digest = self._target.push_blob(self._repository, content)
        self._blobs[digest] = content
        answer = self._ask("PUT", upload, f"?digest={digest}")
        if upload.cancelled:
            assert_refused(answer, 404, "BLOB_UPLOAD_UNKNOWN")
            return
        if upload.content in {b"", content}:
            assert answer.status == 201
        else:
            assert_refused(answer, 400, "DIGEST_INVALID")
        upload.content = b""

    @rule(upload=uploads)
    def cancel(self, upload: Upload) -> None:
        answer = self._ask("DELETE", upload)
        self._assert_refused(answer, upload, 204, "")
        upload.content = b""
        upload.cancelled = True

    @rule(upload=consumes(uploads))
    def forget(self, upload: Upload) -> None:
        """A client that goes away."""

    @rule(data=st.data())
    def pull(self, data: st.DataObject) -> None:
        if not self._blobs:
            return
        digest = data.draw(st.sampled_from(sorted(self._blobs)))
        assert self._target.ask("GET", f"/v2/{self._repository}/blobs/{digest}").body == self._blobs[digest]

    def teardown(self) -> None:
        for digest, content in self._blobs.items():
            assert self._target.ask("GET", f"/v2/{self._repository}/blobs/{digest}").body == content
        begun = [upload for upload in self._all if upload.content]
        large = [upload for upload in begun if len(upload.content) > SMALL_BYTES_MAX]
        assert open_uploads(self._target.data) == self._open + len(begun)
        assert len(self._files) + len(large) <= len(upload_files(self._target.data)) <= len(self._files) + len(begun)
        for upload in begun:
            assert self._ask("DELETE", upload).status == 204
        assert upload_files(self._target.data) == self._files

    def _ask(self, method: str, upload: Upload, query: str = "", headers: Headers = (), body: bytes = b"") -> Answer:
        return self._target.ask(method, upload.location + query, headers, body)

    def _assert_refused(self, answer: Answer, upload: Upload, status: int, code: str) -> None:
        """As said, unless there is no upload any more."""
        if upload.cancelled:
            assert_refused(answer, 404, "BLOB_UPLOAD_UNKNOWN")
        elif code:
            assert_refused(answer, status, code)
        else:
            assert answer.status == status

    def _assert_at(self, upload: Upload, answer: Answer) -> None:
        assert answer.header("location") == upload.location
        assert answer.header("range") == f"0-{max(0, len(upload.content) - 1)}"


@pytest.mark.usefixtures("image")
def test_uploads_in_any_order_do_as_the_model_does(target: Target, image: Image) -> None:
    class Here(Uploads):
        def __init__(self) -> None:
            super().__init__(target)

    run_state_machine_as_test(Here, settings=budget(60, steps=25))
