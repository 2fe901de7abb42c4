"""What a blob store can fail with."""

from entrepot.errors import Conflict, Invalid, NotFound, StorageFull, Unavailable


class StorageUnavailable(Unavailable):
    """The store does not answer, or refuses to be written."""

    code = "storage_unavailable"


class StorageHasNoSpace(StorageFull):
    """The store has no room for what was sent."""

    code = "storage_has_no_space"


class BlobDamaged(NotFound):
    """The stored bytes are missing or not as many as recorded. Not found, so that a client that asks before it pushes
    sends them again, which heals the blob."""

    code = "blob_damaged"


class UploadBusy(Conflict):
    """Another request writes to this upload now."""

    code = "upload_busy"


class UploadLost(NotFound):
    """The bytes that an upload is said to have are not in the store."""

    code = "upload_lost"


class ContentMismatch(Invalid):
    """The bytes received do not have the digest that the client announced."""

    code = "content_mismatch"
