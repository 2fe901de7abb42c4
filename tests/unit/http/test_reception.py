"""Bodies as they arrive, from a web server whose answers come when the test says so."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import cast

import pytest

from entrepot.errors import ClientGone, TooSlow
from entrepot.http.reception import PIECES_AHEAD_MAX, LengthMismatch, Message, pieces

pytestmark = pytest.mark.anyio

NEVER_SECONDS = 3600
SOON_SECONDS = 0.01


class WebServer:
    """Keeps what it was asked for, in order, until the test answers."""

    def __init__(self) -> None:
        self.asked: list[asyncio.Future[Message]] = []
        self.all_received = False

    def ended(self) -> None:
        self.all_received = True

    def receive(self) -> asyncio.Future[Message]:
        self.asked.append(asyncio.get_running_loop().create_future())
        return self.asked[-1]

    async def send(self, body: bytes, *, more: bool = True, to: int | None = None) -> None:
        """Answer the first question that is open, or the one of this number; the program goes on as far as it can."""
        await self.answer({"type": "http.request", "body": body, "more_body": more}, to)

    async def answer(self, message: Message, to: int | None = None) -> None:
        await settled()
        (self.open[0] if to is None else self.asked[to]).set_result(message)
        await settled()

    @property
    def open(self) -> list[asyncio.Future[Message]]:
        return [question for question in self.asked if not question.done()]


async def settled() -> None:
    """Let everybody else go on until they wait."""
    for _ in range(20):
        await asyncio.sleep(0)


def body(
    server: WebServer,
    *,
    announced: int | None = None,
    expected: int | None = None,
    ahead_bytes: int = 0,
    idle_seconds: float = NEVER_SECONDS,
    bytes_per_second_min: int = 0,
) -> AsyncIterator[bytes]:
    return pieces(
        server.receive,
        server.ended,
        announced=announced,
        expected=expected,
        ahead=lambda: ahead_bytes,
        idle_seconds=idle_seconds,
        bytes_per_second_min=bytes_per_second_min,
    )


class Reader:
    """Takes the pieces as they come."""

    def __init__(self, source: AsyncIterator[bytes]) -> None:
        self.taken: list[bytes] = []
        self._task = asyncio.create_task(self._take(source))

    async def _take(self, source: AsyncIterator[bytes]) -> None:
        async for piece in source:
            self.taken.append(piece)

    async def end(self) -> list[bytes]:
        """What there was, when it is over; raises what ended it."""
        await self._task
        return self.taken


async def test_body_in_one_piece_is_asked_for_once() -> None:
    server = WebServer()
    reader = Reader(body(server, announced=5, ahead_bytes=1000))

    await server.send(b"whole", more=False)

    assert await reader.end() == [b"whole"]
    assert len(server.asked) == 1


async def test_body_of_several_pieces_is_asked_for_one_at_a_time() -> None:
    server = WebServer()
    reader = Reader(body(server))
    for piece in (b"a", b"b", b"c"):
        await server.send(piece)
        assert len(server.open) == 1
    assert not server.all_received
    await server.send(b"d", more=False)

    assert await reader.end() == [b"a", b"b", b"c", b"d"]
    assert server.all_received
    assert len(server.asked) == 4


@pytest.mark.parametrize(
    ("piece_bytes", "ahead_bytes", "expected"),
    [
        (10, 40, 4),
        (10, 49, 4),
        (10, 5, 1),
        (10, 0, 1),
        (1, 10_000, PIECES_AHEAD_MAX),
        (100, 100, 1),
    ],
)
async def test_pieces_asked_for_ahead_are_as_many_as_fit(piece_bytes: int, ahead_bytes: int, expected: int) -> None:
    server = WebServer()
    reader = Reader(body(server, ahead_bytes=ahead_bytes))
    await settled()
    assert len(server.open) == 1

    await server.send(b"x" * piece_bytes)

    assert len(server.open) == expected
    await server.send(b"", more=False)
    assert len(await reader.end()) == 1


async def test_pieces_that_arrive_in_another_order_than_asked_for_are_taken_as_they_arrive() -> None:
    server = WebServer()
    reader = Reader(body(server, ahead_bytes=4))
    await server.send(b"a")
    assert len(server.open) == 4

    await server.send(b"b", to=3)
    await server.send(b"c", to=1)
    await server.send(b"d", to=4)
    await server.send(b"e", more=False, to=2)

    assert await reader.end() == [b"a", b"b", b"c", b"d", b"e"]


async def test_pieces_that_arrive_at_once_are_taken_as_they_arrived() -> None:
    server = WebServer()
    reader = Reader(body(server, ahead_bytes=4))
    await server.send(b"a")
    for number, piece in ((4, b"b"), (2, b"c"), (1, b"d")):
        server.asked[number].set_result({"type": "http.request", "body": piece, "more_body": True})
    await server.send(b"e", more=False, to=3)

    assert await reader.end() == [b"a", b"b", b"c", b"d", b"e"]


async def test_questions_open_at_the_end_are_withdrawn() -> None:
    server = WebServer()
    reader = Reader(body(server, ahead_bytes=8))
    await server.send(b"a")
    await server.send(b"b", more=False)

    await reader.end()
    await settled()

    assert len(server.asked) == 9
    assert [question.cancelled() for question in server.asked] == [False] * 2 + [True] * 7


async def test_questions_open_when_the_reader_stops_are_withdrawn() -> None:
    server = WebServer()
    source = body(server, ahead_bytes=8)
    first = asyncio.ensure_future(cast("Awaitable[bytes]", anext(source)))
    await server.send(b"a")
    assert await first == b"a"
    second = asyncio.ensure_future(cast("Awaitable[bytes]", anext(source)))
    await settled()

    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second

    assert server.open == []


async def test_pieces_without_bytes_are_not_passed_on() -> None:
    server = WebServer()
    reader = Reader(body(server, announced=2))
    for piece in (b"", b"a", b"", b"b"):
        await server.send(piece)
    await server.send(b"", more=False)

    assert await reader.end() == [b"a", b"b"]


async def test_message_without_members_is_an_empty_end() -> None:
    server = WebServer()
    reader = Reader(body(server))

    await server.answer({"type": "http.request"})

    assert await reader.end() == []


@pytest.mark.parametrize("before", [0, 1, 3])
async def test_client_that_disconnects_is_gone(before: int) -> None:
    server = WebServer()
    reader = Reader(body(server))
    for _ in range(before):
        await server.send(b"a")

    await server.answer({"type": "http.disconnect"})

    with pytest.raises(ClientGone):
        await reader.end()
    assert reader.taken == [b"a"] * before
    assert not server.all_received


async def test_client_that_the_web_server_knows_to_be_gone_is_gone() -> None:
    """Then its answer is no future."""

    def receive() -> object:
        return object()

    source = pieces(
        cast("Callable[[], asyncio.Future[Message]]", receive),
        lambda: None,
        announced=None,
        expected=None,
        ahead=lambda: 0,
        idle_seconds=NEVER_SECONDS,
        bytes_per_second_min=0,
    )

    with pytest.raises(ClientGone):
        await anext(source)


async def test_client_that_sends_less_than_announced_is_gone() -> None:
    server = WebServer()
    reader = Reader(body(server, announced=5))

    await server.send(b"four", more=False)

    with pytest.raises(ClientGone, match="4 of the 5"):
        await reader.end()


async def test_body_of_the_expected_length_is_taken() -> None:
    server = WebServer()
    reader = Reader(body(server, announced=4, expected=4))
    await server.send(b"fo")
    await server.send(b"ur", more=False)

    assert await reader.end() == [b"fo", b"ur"]


async def test_body_shorter_than_expected_is_a_mismatch() -> None:
    server = WebServer()
    reader = Reader(body(server, expected=5))
    await server.send(b"four", more=False)

    with pytest.raises(LengthMismatch):
        await reader.end()


async def test_body_longer_than_expected_is_not_taken_beyond() -> None:
    server = WebServer()
    reader = Reader(body(server, expected=4))
    await server.send(b"four")
    await server.send(b"s")

    with pytest.raises(LengthMismatch):
        await reader.end()
    assert reader.taken == [b"four"]
    assert server.open == []
    assert not server.all_received


async def test_client_that_sends_nothing_is_too_slow() -> None:
    server = WebServer()
    reader = Reader(body(server, idle_seconds=SOON_SECONDS))

    with pytest.raises(TooSlow):
        await reader.end()
    assert server.open == []


async def test_client_that_pauses_is_too_slow() -> None:
    server = WebServer()
    reader = Reader(body(server, idle_seconds=SOON_SECONDS))
    await server.send(b"a")

    with pytest.raises(TooSlow):
        await reader.end()
    assert reader.taken == [b"a"]


async def test_client_that_never_pauses_but_trickles_is_too_slow() -> None:
    server = WebServer()
    reader = Reader(body(server, idle_seconds=SOON_SECONDS, bytes_per_second_min=10**12))

    async def trickle() -> None:
        while True:
            await server.send(b"a")

    client = asyncio.create_task(trickle())
    with pytest.raises(TooSlow):
        await reader.end()
    client.cancel()
    with pytest.raises((asyncio.CancelledError, IndexError)):
        await client


async def test_client_that_waits_for_a_slow_reader_is_not_too_slow() -> None:
    """The registry's own work is no pause of the client's."""
    server = WebServer()
    source = body(server, idle_seconds=SOON_SECONDS)
    first = asyncio.ensure_future(cast("Awaitable[bytes]", anext(source)))
    await server.send(b"a")
    assert await first == b"a"

    await asyncio.sleep(10 * SOON_SECONDS)

    second = asyncio.ensure_future(cast("Awaitable[bytes]", anext(source)))
    await server.send(b"b", more=False)
    assert await second == b"b"
    with pytest.raises(StopAsyncIteration):
        await anext(source)
