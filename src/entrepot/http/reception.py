"""Receives a request's body: piece by piece, some pieces ahead, and not from a client that is too slow."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from itertools import filterfalse
from operator import methodcaller
from typing import Any

from entrepot.errors import ClientGone, Invalid, TooSlow

Message = MutableMapping[str, Any]
Receive = Callable[[], asyncio.Future[Message]]
Ahead = Callable[[], int]
"""How many bytes to ask of the web server at a time now; 0 is one piece. Only where the content is verified anyway."""

PIECES_AHEAD_MAX = 16


class LengthMismatch(Invalid):
    """The body has more or fewer bytes than were announced."""

    code = "length_mismatch"


async def pieces(
    receive: Receive,
    ended: Callable[[], None],
    *,
    announced: int | None,
    expected: int | None,
    ahead: Ahead,
    idle_seconds: float,
    bytes_per_second_min: int,
) -> AsyncIterator[bytes]:
    """The body as it arrives: `announced` by Content-Length, `expected` by Content-Range, both in bytes.

    `ended` is called once nothing of it is left to receive.
    Raises ClientGone when the connection ends before the body does, TooSlow, and LengthMismatch.
    """
    received = 0
    async with _Reception(receive, ahead, idle_seconds, bytes_per_second_min) as reception:
        while (message := await reception.next(received)) is not None:
            if message["type"] == "http.disconnect":
                raise ClientGone("the client closed the connection before it had sent everything")
            if not message.get("more_body", False):
                ended()
            piece: bytes = message.get("body", b"")
            del message  # Nothing here may hold a piece while the next one is waited for.
            if not piece:
                continue
            received += len(piece)
            if expected is not None and received > expected:
                raise LengthMismatch(f"the body has more than the {expected} bytes announced in Content-Range")
            yield piece
            del piece
    if announced is not None and received < announced:
        raise ClientGone(f"the client sent {received} of the {announced} bytes that it announced")
    if expected is not None and received != expected:
        raise LengthMismatch(f"the body has {received} bytes, but Content-Range announces {expected}")


class _Reception:
    """The messages of one body, in the order in which the web server took them from the connection.

    That is the order in which its answers arrive, and not that in which they were asked for: decision 0009.
    """

    def __init__(self, receive: Receive, ahead: Ahead, idle_seconds: float, bytes_per_second_min: int) -> None:
        self._receive = receive
        self._ahead = ahead
        self._pieces_ahead = 1
        self._idle_seconds = idle_seconds
        self._bytes_per_second_min = bytes_per_second_min
        self._asks = _asking(receive, self._arrive)
        self._asked: list[asyncio.Future[Message]] = []
        self._arrived: deque[asyncio.Future[Message]] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._more = True
        self._received = self._seen = 0

    async def __aenter__(self) -> "_Reception":
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._timer = self._loop.call_later(self._idle_seconds, self._look)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._timer.cancel()
        for message in self._asked:
            message.cancel()
        # What refers to this here would keep it, and the web server waiting for somebody to read on, until the garbage
        # collector comes by.
        self._asks = iter(())
        self._waiter = None

    async def next(self, received: int) -> Message | None:
        """The next message, None after the last. Raises TooSlow."""
        if not self._more:
            return None
        self._received = received
        while len(self._asked) + len(self._arrived) < self._pieces_ahead:
            self._ask()
        if not self._arrived:
            self._waiter = self._loop.create_future()
            await self._waiter
        message = self._arrived.popleft().result()
        self._more = message.get("more_body", False)
        # Most bodies are one piece: only when that is here is there reason to ask for more at a time.
        piece_bytes = max(1, len(message.get("body", b"")))
        self._pieces_ahead = min(PIECES_AHEAD_MAX, max(1, self._ahead() // piece_bytes))
        return message

    def _ask(self) -> None:
        try:
            self._asked.append(next(self._asks))
        except AttributeError:
            # Once it knows that the client is gone, the web server answers with something that is no future.
            raise ClientGone("the client closed the connection before it had sent everything") from None

    def _arrive(self, message: asyncio.Future[Message]) -> None:
        self._asked.remove(message)
        if message.cancelled():
            return
        self._arrived.append(message)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _look(self) -> None:
        """Once every idle period, instead of setting a timer for every piece."""
        elapsed = self._loop.time() - self._started
        slow = self._received == self._seen or self._received < elapsed * self._bytes_per_second_min
        if slow and self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(
                TooSlow(
                    f"the body arrives too slowly: send at least {self._bytes_per_second_min} bytes per second, "
                    f"and pause for less than {self._idle_seconds} seconds"
                )
            )
            return
        self._seen = self._received
        self._timer = self._loop.call_later(self._idle_seconds, self._look)


def _asking(receive: Receive, arrive: Callable[[asyncio.Future[Message]], None]) -> Iterator[asyncio.Future[Message]]:
    """Each step asks for a message and answers its future, which calls `arrive` when it is done.

    The answers' order is that of these calls only if none is done before it is given its callback. The web server's
    threads need the interpreter's lock for that, which may change hands between any two lines of Python. So these are
    none: the iterators and the method caller run in C, and `filterfalse` passes on what the callable answers None to.
    """
    return filterfalse(methodcaller("add_done_callback", arrive), iter(receive, None))
