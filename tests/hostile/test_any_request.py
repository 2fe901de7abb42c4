"""Any request at all: made of pieces that mean something, in places where they mean something else."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from tests.budgets import budget
from tests.hostile.answers import assert_well_formed
from tests.hostile.target import OCI_INDEX, OCI_MANIFEST, Image, Target, push_image, sha256, sha512
from tests.hostile.wire import Answer, Connection, chunked

REPOSITORY = "fuzz/target"
UNKNOWN = sha256(b"nobody has this")
HEX = "0123456789abcdef"


@dataclass(frozen=True)
class Request:
    target: tuple[str, str]
    query: str
    headers: tuple[tuple[str, bytes], ...]
    authorization: str
    body: bytes
    in_chunks: bool

    @property
    def method(self) -> str:
        return self.target[0]

    @property
    def path(self) -> str:
        return self.target[1]


def _escaped(content: bytes) -> str:
    return "".join(f"%{byte:02x}" for byte in content)


_junk = st.one_of(
    st.sampled_from(
        ["", ".", "..", "%2e%2e", "%2f", "%00", "%ff", "%", "%zz", "*", "~", "a;b", "A", "-", "_", "a" * 300]
    ),
    st.binary(min_size=1, max_size=8).map(_escaped),
    st.text("abcAB019._-:@!$&'()*+,;=~", min_size=1, max_size=20),
)
_good_names = st.sampled_from([REPOSITORY, REPOSITORY, REPOSITORY, "fuzz", "fuzz/other", "hostile/nothing-here"])
_names = st.one_of(_good_names, _good_names, _junk)
_digests = st.one_of(
    st.sampled_from(["IMAGE", "LAYER", "CONFIG"]),
    st.sampled_from([UNKNOWN, "IMAGE", "LAYER", "CONFIG", sha512(b""), sha256(b""), "md5:00", "sha256:", "sha256:0"]),
    st.text(HEX, min_size=63, max_size=65).map(lambda text: f"sha256:{text}"),
    _junk,
)
_tags = st.one_of(st.sampled_from(["held", "latest", "t", "a" * 128, "a" * 129, ".a", "sha256-0"]), _junk)
_sessions = st.one_of(st.sampled_from(["UPLOAD0", "UPLOAD1", "UPLOAD2", "forged"]), _junk)
_words = st.sampled_from(
    ["v2", "token", "healthz", "_catalog", "blobs", "uploads", "manifests", "tags", "list", "referrers", "metrics"]
)
_manifest_paths = st.builds("/v2/{}/manifests/{}".format, _names, st.one_of(_tags, _digests))
_blob_paths = st.builds("/v2/{}/blobs/{}".format, _names, _digests)
_upload_paths = st.builds("/v2/{}/blobs/uploads/{}".format, _names, _sessions)
_list_paths = st.one_of(
    st.builds("/v2/{}/tags/list".format, _names),
    st.builds("/v2/{}/referrers/{}".format, _names, _digests),
    st.sampled_from(["/v2/", "/v2", "/v2/_catalog", "/token", "/healthz", "/readyz", "/"]),
)
_any_path = st.lists(st.one_of(_words, _names, _digests, _tags, _sessions), max_size=8).map(
    lambda parts: "/" + "/".join(parts)
)
_any_method = st.sampled_from(
    ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "get", "X"]
)
_targets = st.one_of(
    st.tuples(st.sampled_from(["GET", "HEAD", "PUT", "DELETE"]), _manifest_paths),
    st.tuples(st.sampled_from(["GET", "HEAD", "DELETE"]), _blob_paths),
    st.tuples(st.just("POST"), st.builds("/v2/{}/blobs/uploads/".format, _names)),
    st.tuples(st.sampled_from(["GET", "PATCH", "PUT", "DELETE"]), _upload_paths),
    st.tuples(st.just("GET"), _list_paths),
    st.tuples(_any_method, st.one_of(_any_path, _manifest_paths, _blob_paths, _upload_paths, _list_paths)),
)
_numbers = st.one_of(
    st.integers(-5, 5).map(str), st.integers(0, 2**80).map(str), st.sampled_from(["", "-0", "1e9", "0x1", "01", "1.0"])
)
_parameters = st.tuples(
    st.one_of(
        st.sampled_from(
            ["n", "last", "digest", "mount", "from", "tag", "artifactType", "scope", "service", "digest-algorithm"]
        ),
        _junk,
    ),
    st.one_of(_numbers, _digests, _names, _tags, st.sampled_from(["sha256", "sha512", "repository:fuzz/target:pull"])),
)
_queries = st.lists(_parameters, max_size=3).map(
    lambda pairs: "&".join(f"{name}={value}" for name, value in pairs).replace('"', "%22")
)
_ranges = st.one_of(
    st.builds("{}-{}".format, _numbers, _numbers),
    st.builds("bytes={}-{}".format, _numbers, _numbers),
    st.builds("bytes {}-{}/{}".format, _numbers, _numbers, _numbers),
    st.lists(st.builds("{}-{}".format, _numbers, _numbers), max_size=5).map(lambda parts: "bytes=" + ",".join(parts)),
)
_values = st.one_of(
    _ranges.map(str.encode),
    st.sampled_from([OCI_MANIFEST, OCI_INDEX, "application/json", "*", '"x"', "W/*", "gzip", "0-4", "0-0"]).map(
        str.encode
    ),
    st.binary(max_size=30).map(lambda value: value.translate(None, b"\r\n\x00").strip()),
)
_header_names = st.sampled_from(
    [
        *("Content-Range", "Range", "If-None-Match", "If-Range", "If-Match", "Content-Type", "Accept", "Link"),
        *("Content-Encoding", "Accept-Encoding", "X-Request-Id", "X-Forwarded-For", "User-Agent", "Origin"),
    ]
)
_headers = st.lists(st.tuples(_header_names, _values), max_size=3)
_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(
                st.sampled_from(["schemaVersion", "mediaType", "config", "layers", "manifests", "subject"]),
                st.text(max_size=5),
            ),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=12,
)
_bodies = st.one_of(
    st.just(b""),
    st.binary(max_size=200),
    st.sampled_from([b"LAYER", b"MANIFEST", b"x" * 200_000]),
    _json.map(lambda value: json.dumps(value).encode()),
)
_authorizations = st.one_of(
    st.just("OWN"),
    st.just("OWN"),
    st.sampled_from(["OWN", "NOBODY", "Bearer x.y.z", "Basic", "Basic OjpB", "basic !"]),
)
requests = st.builds(
    Request,
    target=_targets,
    query=_queries,
    headers=_headers.map(tuple),
    authorization=_authorizations,
    body=_bodies,
    in_chunks=st.booleans(),
)


class Client:
    """Fills in what an example cannot know, and keeps a connection as long as the server does."""

    def __init__(self, target: Target, image: Image) -> None:
        self._target = target
        self._image = image
        self._connection: Connection | None = None
        uploads = [target.start_upload(REPOSITORY) for _ in range(3)]
        self._known = {
            "IMAGE": image.digest,
            "LAYER": sha256(image.layer),
            "CONFIG": sha256(image.config),
            **{f"UPLOAD{number}": address.rpartition("/")[2] for number, address in enumerate(uploads)},
        }
        self.uploads = uploads

    def send(self, example: Request) -> Answer:
        """The answer to an example."""
        data = self._bytes(example)
        head = example.method == "HEAD"
        # The server may have closed the connection after the answer before: then once more over a new one.
        for _ in range(2):
            if self._connection is None:
                self._connection = self._target.connect()
            self._connection.send(data)
            answer = self._connection.answer(head=head)
            if answer is None or answer.header("connection") == "close":
                self.close()
            if answer is not None:
                return answer
        raise AssertionError("the server closes the connection without an answer")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _bytes(self, example: Request) -> bytes:
        path = f"{example.path}?{example.query}" if example.query else example.path
        for word, value in self._known.items():
            path = path.replace(word, value)
        body = {b"LAYER": self._image.layer, b"MANIFEST": self._image.payload}.get(example.body, example.body)
        headers: list[tuple[str, str | bytes]] = list(example.headers)
        if body and example.in_chunks:
            headers.append(("Transfer-Encoding", "chunked"))
            body = chunked(body)
        authorization = {"OWN": "", "NOBODY": None}.get(example.authorization, example.authorization)
        return self._target.request(example.method, path, headers, body, authorization=authorization, close=False)


@pytest.fixture
def client(target: Target) -> Iterator[Client]:
    client = Client(target, push_image(target, REPOSITORY, "fuzz"))
    yield client
    client.close()
    for location in client.uploads:
        target.ask("DELETE", location)


@budget(1500)
@given(example=requests)
def test_any_request_gets_an_answer_that_is_right_in_form(client: Client, example: Request) -> None:
    answer = client.send(example)
    event(f"{example.method if example.method.isupper() else '?'} {answer.status}")
    assert_well_formed(answer, head=example.method == "HEAD")
    if not answer.from_web_server:
        assert (answer.header("x-request-id") or "").replace("-", "").isalnum()
    # Everybody may ask which methods a path has: browsers do, before a page may.
    if example.authorization == "NOBODY" and example.method != "OPTIONS":
        assert answer.status not in {201, 202, 204, 206}
