"""Errors as responses: exception to HTTP status and OCI error code ("Error Codes"). The one table there is."""

import logging

from entrepot import errors
from entrepot.content import errors as content
from entrepot.http.bodies import TooManyBodies
from entrepot.http.limits import TooManyRequests
from entrepot.http.messages import Headers, Request, Response, json_response
from entrepot.http.reception import LengthMismatch
from entrepot.http.routing import MethodUnsupported
from entrepot.http.streaming import RangeOutside
from entrepot.identity import errors as identity
from entrepot.oci import errors as oci
from entrepot.oci.manifest import ManifestUnsupported
from entrepot.storage import errors as storage

log = logging.getLogger(__name__)

CLIENT_GONE = 499
"""For logs and metrics only: the client closed the connection, so no response was sent."""


TABLE: dict[type[errors.EntrepotError], tuple[int, str]] = {
    # kinds
    errors.Invalid: (400, "UNSUPPORTED"),
    errors.Unauthenticated: (401, "UNAUTHORIZED"),
    errors.Denied: (403, "DENIED"),
    errors.NotFound: (404, "NAME_UNKNOWN"),
    errors.Conflict: (409, "DENIED"),
    errors.TooLarge: (413, "SIZE_INVALID"),
    errors.BadRange: (416, "BLOB_UPLOAD_INVALID"),
    errors.TooSlow: (408, "BLOB_UPLOAD_INVALID"),
    errors.RateLimited: (429, "TOOMANYREQUESTS"),
    errors.Unsupported: (405, "UNSUPPORTED"),
    errors.Unavailable: (503, "UNAVAILABLE"),
    errors.StorageFull: (507, "UNAVAILABLE"),
    errors.ClientGone: (CLIENT_GONE, "SIZE_INVALID"),
    # what the specification has a code for
    oci.DigestInvalid: (400, "DIGEST_INVALID"),
    oci.NameInvalid: (400, "NAME_INVALID"),
    oci.TagInvalid: (400, "MANIFEST_INVALID"),
    oci.ManifestInvalid: (400, "MANIFEST_INVALID"),
    ManifestUnsupported: (400, "UNSUPPORTED"),
    LengthMismatch: (400, "SIZE_INVALID"),
    RangeOutside: (416, "SIZE_INVALID"),
    content.RepositoryUnknown: (404, "NAME_UNKNOWN"),
    content.BlobUnknown: (404, "BLOB_UNKNOWN"),
    content.ManifestUnknown: (404, "MANIFEST_UNKNOWN"),
    content.UploadUnknown: (404, "BLOB_UPLOAD_UNKNOWN"),
    content.UploadInvalid: (400, "BLOB_UPLOAD_INVALID"),
    content.ReferenceUnknown: (400, "MANIFEST_BLOB_UNKNOWN"),
    content.BlobInUse: (409, "DENIED"),
    content.ManifestInUse: (409, "DENIED"),
    content.UploadChanged: (416, "BLOB_UPLOAD_INVALID"),
    content.TooManyUploads: (429, "TOOMANYREQUESTS"),
    storage.BlobDamaged: (404, "BLOB_UNKNOWN"),
    storage.UploadBusy: (409, "BLOB_UPLOAD_INVALID"),
    storage.UploadLost: (404, "BLOB_UPLOAD_UNKNOWN"),
    storage.ContentMismatch: (400, "DIGEST_INVALID"),
    identity.CredentialsInvalid: (401, "UNAUTHORIZED"),
    identity.AccountDisabled: (401, "UNAUTHORIZED"),
    identity.TokenInvalid: (401, "UNAUTHORIZED"),
    identity.TokenExpired: (401, "UNAUTHORIZED"),
    identity.TooManyLogins: (429, "TOOMANYREQUESTS"),
    identity.LoginDelayed: (429, "TOOMANYREQUESTS"),
    identity.TooManyDeviceLogins: (429, "TOOMANYREQUESTS"),
    errors.PreconditionFailed: (412, "DENIED"),
    TooManyRequests: (429, "TOOMANYREQUESTS"),
    TooManyBodies: (429, "TOOMANYREQUESTS"),
    identity.ProviderUnavailable: (503, "UNAVAILABLE"),
}

RETRY_AFTER_SECONDS = 5


def status_and_code(error: errors.EntrepotError) -> tuple[int, str]:
    """The entry of the error's class, or of the nearest class above it."""
    return next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)


def refusal(request: Request, error: errors.EntrepotError, headers: Headers) -> Response:
    """As the OCI API says it, for each face that has no way of its own."""
    return error_response(error, headers)


def error_response(error: errors.EntrepotError, headers: Headers) -> Response:
    status, code = status_and_code(error)
    entry: dict[str, object] = {"code": code, "message": error.message}
    if error.detail is not None:
        entry["detail"] = error.detail
    return json_response(status, {"errors": [entry]}, [*headers, *headers_of(error, status)])


def headers_of(error: errors.EntrepotError, status: int) -> Headers:
    """What HTTP wants to be said of an error (RFC 9110, sections 10.2.3, 15.5.6 and 15.5.17)."""
    if isinstance(error, errors.RateLimited) and error.retry_after_seconds is not None:
        return [(b"retry-after", b"%d" % error.retry_after_seconds)]
    if status in {429, 503}:
        return [(b"retry-after", b"%d" % RETRY_AFTER_SECONDS)]
    if isinstance(error, MethodUnsupported):
        return [(b"allow", ", ".join(error.methods).encode())]
    if isinstance(error, RangeOutside):
        return [(b"content-range", b"bytes */%d" % error.size)]
    return []


def defect(request: Request) -> Response:
    """What a client learns of what nobody expected: how to refer to it."""
    message = f"an unexpected error occurred: give the request id {request.id} to the registry's operator"
    return json_response(500, {"errors": [{"code": "UNKNOWN", "message": message}]})
