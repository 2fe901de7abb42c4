"""The works the registries are compared in."""

from benchmarks.works.access import AccessDecisions
from benchmarks.works.audit import AuditPages
from benchmarks.works.capacity import MemoryOfDownloads, MemoryOfUploads, StartWithManyManifests
from benchmarks.works.large import Pull, Push
from benchmarks.works.reads import BlobReads, ManifestReads
from benchmarks.works.small import ImagePush, TagPut
from benchmarks.works.tags import TagPages
from benchmarks.works.work import Work

ALL_WORKS: tuple[type[Work], ...] = (
    ManifestReads,
    BlobReads,
    Pull,
    Push,
    ImagePush,
    TagPut,
    TagPages,
    AuditPages,
    AccessDecisions,
    StartWithManyManifests,
    MemoryOfUploads,
    MemoryOfDownloads,
)
