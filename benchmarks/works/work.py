"""What a work is: measures, the preparation of a server, rounds."""

import shutil
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from benchmarks.content import GIB, MIB
from benchmarks.load import Sample
from benchmarks.registries import Server


@dataclass(frozen=True, slots=True)
class Scale:
    """How much one run does."""

    rounds: int = 5
    heavy_rounds: int = 3
    capacity_rounds: int = 2
    wrk_seconds: int = 2
    connections: int = 32
    large_blob_bytes: int = 512 * MIB
    clients: int = 8
    images_per_client: int = 16
    tags_per_client: int = 150
    pages: int = 200
    pages_seconds: float = 2.0
    many_tags: int = 100_000
    few_tags: int = 1_000
    manifests: int = 1_000_000
    audit_records: int = 10_000_000
    audit_pages: int = 100
    uploads: int = 200
    upload_bytes: int = GIB
    uploads_total_bytes: int = 8 * GIB
    uploads_seconds: float = 20.0
    downloads_seconds: float = 15.0


FULL = Scale()
QUICK = Scale(
    rounds=3,
    heavy_rounds=2,
    capacity_rounds=1,
    wrk_seconds=1,
    images_per_client=6,
    tags_per_client=50,
    pages=50,
    pages_seconds=1.0,
    many_tags=5_000,
    manifests=100_000,
    audit_records=1_000_000,
    audit_pages=40,
    uploads_total_bytes=2 * GIB,
    uploads_seconds=10.0,
    downloads_seconds=5.0,
)


@dataclass(frozen=True, slots=True)
class Measure:
    """One row of the report."""

    key: str
    title: str
    unit: str
    digits: int = 0
    less_is_better: bool = False
    target_ratio: float | None = None
    """How many times the best peer Entrepot shall reach."""
    target_value: float | None = None
    """What Entrepot shall not exceed."""


class Work(ABC):
    """One kind of work, done with one running server."""

    name: ClassVar[str]
    how: ClassVar[str]
    measures: ClassVar[tuple[Measure, ...]]
    peers_too: ClassVar[bool] = True

    def __init__(self, server: Server, scale: Scale) -> None:
        self.server = server
        self.scale = scale
        self.notes: list[str] = []

    @classmethod
    def rounds(cls, scale: Scale) -> int:
        return scale.rounds

    @abstractmethod
    def prepare(self) -> None:
        """Push what the rounds need; not measured."""

    @abstractmethod
    def round(self, number: int) -> dict[str, Sample]:
        """Measure once, by the key of each measure."""

    def restart(self, *, empty: bool = False) -> None:
        """Start the server anew, on the data it has or on none."""
        self.server.stop()
        if empty:
            shutil.rmtree(self.server.directory)
        self.server = Server.start(self.server.registry, self.server.directory)
