"""What can be wrong with content that is asked for or pushed."""

from entrepot.errors import Conflict, Invalid, NotFound, RateLimited, TooLarge
from entrepot.oci.errors import ManifestInvalid


class RepositoryUnknown(NotFound):
    pass


class BlobUnknown(NotFound):
    pass


class ManifestUnknown(NotFound):
    pass


class UploadUnknown(NotFound):
    pass


class UploadInvalid(Invalid):
    """What is asked of the upload is not a valid request."""


class ReferenceUnknown(ManifestInvalid):
    """A manifest lists a blob or a manifest that is not in the repository."""


class BlobInUse(Conflict):
    pass


class ManifestInUse(Conflict):
    """It is a part of an index that a tag names."""


class UploadChanged(Conflict):
    """Another request moved the upload on at the same time."""


class BlobTooLarge(TooLarge):
    pass


def too_large(bytes_max: int) -> BlobTooLarge:
    return BlobTooLarge(
        f"a blob may have at most {bytes_max} bytes: make the layer smaller, or ask the registry's operator to raise "
        "registry.blob_bytes_max",
        {"bytes_max": bytes_max},
    )


class TooManyUploads(RateLimited):
    pass
