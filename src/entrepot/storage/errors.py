"""What a blob store can fail with."""

from entrepot.errors import Conflict, Invalid, NotFound, StorageFull, Unavailable


class StorageUnavailable(Unavailable):
    """The store does not answer, or refuses to be written."""


class StorageHasNoSpace(StorageFull):
    """The store has no room for what was sent."""


class BlobDamaged(NotFound):
    """The stored bytes are missing or not as many as recorded. Not found, so that a client that asks before it pushes
    sends them again, which heals the blob."""


class UploadBusy(Conflict):
    """Another request writes to this upload now."""


class UploadLost(NotFound):
    """The bytes that an upload is said to have are not in the store."""


class ContentMismatch(Invalid):
    """The bytes received do not have the digest that the client announced."""
