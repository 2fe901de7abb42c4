"""The routes of the OCI distribution API, and how a path is one of them.

A repository's name has any number of components, which may be called blobs or manifests: what a path means is told by
its last two segments, and never by searching.
"""

from urllib.parse import unquote

from entrepot.access.permissions import Permission
from entrepot.http.messages import Request
from entrepot.http.routing import Route, the_repository
from entrepot.http.v2 import blobs, lists, manifests, uploads

PREFIX = "/v2/"
UPLOAD_PATH = "/v2/{name}/blobs/uploads/{session}"
_PULL, _PUSH, _DELETE = Permission.REPOSITORY_PULL, Permission.REPOSITORY_PUSH, Permission.REPOSITORY_DELETE

ROUTES = (
    Route(("GET", "HEAD"), "/v2/", lists.ping, Permission.SIGNED_IN),
    Route(("GET",), "/v2/_catalog", lists.catalog, Permission.REGISTRY_CATALOG),
    Route(("GET",), "/v2/{name}/tags/list", lists.tag_list, _PULL, the_repository),
    Route(("GET",), "/v2/{name}/referrers/{digest}", lists.referrers_list, _PULL, the_repository),
    Route(("GET",), "/v2/{name}/manifests/{reference}", manifests.get, _PULL, the_repository),
    # Before they push, clients look whether it is there.
    Route(("HEAD",), "/v2/{name}/manifests/{reference}", manifests.get, _PULL, the_repository, _PUSH),
    Route(("PUT",), "/v2/{name}/manifests/{reference}", manifests.put, _PUSH, the_repository),
    Route(("DELETE",), "/v2/{name}/manifests/{reference}", manifests.delete, _DELETE, the_repository),
    Route(("GET",), "/v2/{name}/blobs/{digest}", blobs.get, _PULL, the_repository),
    # Some go on with the token that they got for this, whatever they are told then.
    Route(("HEAD",), "/v2/{name}/blobs/{digest}", blobs.get, _PULL, the_repository, _PUSH, next_permission=_PUSH),
    Route(("DELETE",), "/v2/{name}/blobs/{digest}", blobs.delete, _DELETE, the_repository),
    Route(("POST",), "/v2/{name}/blobs/uploads/", uploads.post, _PUSH, the_repository),
    Route(("GET", "HEAD"), UPLOAD_PATH, uploads.get, _PUSH, the_repository),
    Route(("PATCH",), UPLOAD_PATH, uploads.patch, _PUSH, the_repository),
    Route(("PUT",), UPLOAD_PATH, uploads.put, _PUSH, the_repository),
    Route(("DELETE",), UPLOAD_PATH, uploads.delete, _PUSH, the_repository),
)


def match(request: Request) -> str | None:
    """The route's path; sets the request's repository and reference. None for a path that is no route's."""
    rest = request.path[len(PREFIX) :]
    if rest in {"", "_catalog"}:
        return PREFIX + rest
    segments = rest.rsplit("/", 2)
    if len(segments) != 3:
        return None
    name, kind, last = segments
    if kind == "manifests":
        path = "/v2/{name}/manifests/{reference}"
    elif kind == "blobs" and last == "uploads":
        path = "/v2/{name}/blobs/uploads/"
    elif kind == "blobs":
        path = "/v2/{name}/blobs/{digest}"
    elif kind == "uploads" and name.endswith("/blobs"):
        name = name[: -len("/blobs")]
        path = UPLOAD_PATH if last else "/v2/{name}/blobs/uploads/"
    elif kind == "tags" and last == "list":
        path = "/v2/{name}/tags/list"
    elif kind == "referrers":
        path = "/v2/{name}/referrers/{digest}"
    else:
        return None
    request.repository_text = name
    request.reference = unquote(last) if "%" in last else last
    return path
