"""How much memory the bodies that are held whole may take: manifests, forms and JSON; blobs never are.

Over HTTP/2 a client sends hundreds of them over one connection, and may leave each unfinished.
"""

from collections import Counter

from entrepot.errors import RateLimited

BYTES_MAX = 128 * 1024 * 1024
"""Of all bodies that a worker holds."""
BYTES_PER_NETWORK_MAX = BYTES_MAX // 4
"""Of those of one address (IPv6: of one /64)."""
SMALL_BYTES = 64 * 1024
"""What each request may hold in any case: nearly all manifests are smaller. How many requests one address makes at a
time is limited elsewhere."""
RETRY_SECONDS = 5


class TooManyBodies(RateLimited):
    """Other bodies of the same address, or of all, take the memory that there is for them."""

    code = "too_many_bodies"


class Bodies:
    """Counts what a worker holds."""

    def __init__(self) -> None:
        self._held = 0
        self._held_of: Counter[str] = Counter()

    def take(self, network: str, held: int, count: int) -> None:
        """Count some bytes more of a request that holds some already. Raises TooManyBodies."""
        is_much = held + count > SMALL_BYTES
        if is_much and self._held_of[network] + count > BYTES_PER_NETWORK_MAX:
            raise TooManyBodies(
                f"other requests from this address already have bodies of {self._held_of[network]} bytes: "
                "send fewer at a time",
                RETRY_SECONDS,
            )
        if is_much and self._held + count > BYTES_MAX:
            raise TooManyBodies("the registry is reading too many bodies: try again in a few seconds", RETRY_SECONDS)
        self._held += count
        self._held_of[network] += count

    def release(self, network: str, count: int) -> None:
        self._held -= count
        self._held_of[network] -= count
        if not self._held_of[network]:
            del self._held_of[network]
