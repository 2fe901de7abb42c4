"""What can be wrong with content that is asked for or pushed."""

from entrepot.errors import Conflict, Invalid, NotFound, RateLimited, TooLarge
from entrepot.oci.errors import ManifestInvalid


class RepositoryUnknown(NotFound):
    code = "repository_unknown"


class BlobUnknown(NotFound):
    code = "blob_unknown"


class ManifestUnknown(NotFound):
    code = "manifest_unknown"


class UploadUnknown(NotFound):
    code = "upload_unknown"


class UploadInvalid(Invalid):
    """What is asked of the upload is not a valid request."""

    code = "upload_invalid"


class ReferenceUnknown(ManifestInvalid):
    """A manifest lists a blob or a manifest that is not in the repository."""

    code = "reference_unknown"


class BlobInUse(Conflict):
    code = "blob_in_use"


class ManifestInUse(Conflict):
    """It is a part of an index that a tag names."""

    code = "manifest_in_use"


class UploadChanged(Conflict):
    """Another request moved the upload on at the same time."""

    code = "upload_changed"


class BlobTooLarge(TooLarge):
    code = "blob_too_large"


def too_large(bytes_max: int) -> BlobTooLarge:
    return BlobTooLarge(
        f"a blob may have at most {bytes_max} bytes: make the layer smaller, or ask the registry's operator to raise "
        "registry.blob_bytes_max",
        {"bytes_max": bytes_max},
    )


class TooManyUploads(RateLimited):
    code = "too_many_uploads"
