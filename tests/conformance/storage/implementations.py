"""The stores that the suite runs over, and what each of them does not do."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import pytest

from entrepot.settings import StorageSettings
from entrepot.storage.driver import Access, Driver, LocalFile, Proxied, Redirect
from entrepot.storage.open import open_store
from entrepot.storage.store import BlobStore, StoredBlob


class Capability(Enum):
    """What not every store can do. A test of one asserts what the others do instead."""

    KEEPS_UNCLOSED_PARTS = "bytes that were written survive although the request did not end"
    REFUSES_SECOND_WRITER = "a second request that writes to an upload is told that it is busy"
    COMMITS_ONCE = "committing an upload of one part takes the upload away"


@dataclass(frozen=True)
class Implementation:
    """`options` go into the storage settings; `lacks` are the capabilities that it does not have."""

    name: str
    scheme: str
    access: type[Access]
    redirect: bool = True
    lacks: frozenset[Capability] = field(default_factory=frozenset)

    def has(self, capability: Capability) -> bool:
        return capability not in self.lacks


IMPLEMENTATIONS = (
    Implementation("files", scheme="file", access=LocalFile),
    Implementation("s3-redirects", scheme="s3", access=Redirect, lacks=frozenset(Capability)),
    Implementation("s3-proxied", scheme="s3", access=Proxied, redirect=False, lacks=frozenset(Capability)),
)


def parameters(implementations: Iterable[Implementation] = IMPLEMENTATIONS) -> list[object]:
    """For a fixture's `params`."""
    return [pytest.param(implementation, id=implementation.name) for implementation in implementations]


differ_in_writing = pytest.mark.parametrize("implementation", parameters(IMPLEMENTATIONS[:2]), indirect=True)
"""For tests that send no blob to a client, where redirects make no difference."""


@dataclass
class Opened:
    """One store of an implementation, and what it was told to be damaged."""

    implementation: Implementation
    settings: StorageSettings
    data: Path
    damaged: list[StoredBlob] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = self.another_worker()

    @property
    def driver(self) -> Driver:
        return self.store._driver

    def another_worker(self, **changes: object) -> BlobStore:
        """A store on the same bytes that remembers nothing of what this one did; `changes` replace settings."""
        return open_store(self.settings.model_copy(update=changes), self.data, self.damaged.append)
