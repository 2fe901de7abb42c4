"""The audit log: search, export, status, and the public key that verifies exports."""

from typing import Annotated, Any, Literal

import orjson
from fastapi import Query
from starlette.responses import Response, StreamingResponse

from entrepot.access.permissions import Permission
from entrepot.access.places import NAMESPACE, REGISTRY, REPOSITORY, Place
from entrepot.actions import authorize as decisions
from entrepot.actions.manage import audit as manage
from entrepot.audit.query import Filter, Found
from entrepot.audit.signing import key_id, public_pem
from entrepot.http import authorize
from entrepot.http.api.references import Time, milliseconds, time_of
from entrepot.http.api.resource import After, ApiRoute, CurrentRequest, Model, Page, PageLimit, after_number
from entrepot.oci.name import is_repository_name

MEDIA_TYPES = {manage.JSONL: "application/x-ndjson", manage.CEF: "text/plain; charset=utf-8"}
FilterText = Annotated[str, Query(max_length=512)]
_READ = Permission.AUDIT_READ


class RecordEntry(Model):
    """A record of the audit log. `hash` chains it to the record before: see `entrepot audit verify`."""

    seq: int
    hash: str
    record: dict[str, Any]


class PublicKey(Model):
    key_id: str
    public_key: str
    """The key as PEM, for `entrepot audit verify --key`."""


class TargetStatus(Model):
    target: str
    seq: int
    """The last record that was delivered."""
    error: str | None
    updated_at: Time


class AuditStatus(Model):
    seq: int
    """The newest record in the chain."""
    hash: str
    pending: int
    """The number of records that are not in the chain yet; 10,000 means at least so many."""
    signed_seq: int
    signed_at: Time | None
    archived_seq: int
    """The last record that is archived in the blob store; 0 if none is."""
    oldest_seq: int
    """The first record that is still in the database; 0 if none is."""
    forwarding: list[TargetStatus]


async def listing(
    request: CurrentRequest,
    actor: Annotated[FilterText, Query(description="Only records of this user, as provider:name or anonymous.")] = "",
    action: Annotated[FilterText, Query(description="Only this action, such as manifest:push.")] = "",
    resource: Annotated[FilterText, Query(description="Only this resource, such as repository:team/app.")] = "",
    below: Annotated[FilterText, Query(description="Only records about repositories of this namespace.")] = "",
    digest: FilterText = "",
    address: FilterText = "",
    outcome: Annotated[Literal["done", "refused", "failed"] | None, Query()] = None,
    from_: Annotated[Time | None, Query(alias="from", description="Only records from this time on.")] = None,
    to: Annotated[Time | None, Query(description="Before.")] = None,
    after: After = "",
    limit: PageLimit = 100,
) -> Page[RecordEntry]:
    """List records, newest first. A page may have few or no records although there are more; check `next`.

    A caller who may only read the log of a namespace or repository must name it in `below` or `resource`.
    """
    await _require(request, resource, below)
    wanted = _filter(actor, action, resource, below, digest, address, outcome, from_, to)
    page = await manage.find(
        request.app, request.caller, wanted, _where(resource, below), after_number(after) or None, limit
    )
    return Page(items=[_entry(found) for found in page.records], next=None if page.after is None else str(page.after))


async def export(
    request: CurrentRequest,
    format_: Annotated[Literal["jsonl", "cef"], Query(alias="format")] = "jsonl",
    actor: FilterText = "",
    action: FilterText = "",
    resource: FilterText = "",
    below: FilterText = "",
    digest: FilterText = "",
    address: FilterText = "",
    outcome: Annotated[Literal["done", "refused", "failed"] | None, Query()] = None,
    from_: Annotated[Time | None, Query(alias="from")] = None,
    to: Annotated[Time | None, Query()] = None,
) -> Response:
    """Export records, oldest first, as JSON lines that can be verified offline, or as CEF for other programs.

    JSON lines also contain the hashes of records that the filter leaves out, so the chain can still be verified.
    """
    await _require(request, resource, below)
    wanted = _filter(actor, action, resource, below, digest, address, outcome, from_, to)
    where = _where(resource, below)
    lines = await manage.export_lines(request.app, request.caller, wanted, format_, where)
    name = f'attachment; filename="entrepot-audit.{format_}"'
    return StreamingResponse(lines, media_type=MEDIA_TYPES[format_], headers={"content-disposition": name})


async def public_key(request: CurrentRequest) -> PublicKey:
    """Return the public key that verifies the signatures in exports."""
    key = request.app.keys.audit.public_key()
    return PublicKey(key_id=key_id(key), public_key=public_pem(key))


async def status(request: CurrentRequest) -> AuditStatus:
    """Show up to which record the log is sealed, signed, archived and forwarded."""
    found = await manage.status(request.app)
    return AuditStatus(
        seq=found.seq,
        hash=found.hash,
        pending=found.pending,
        signed_seq=found.signed_seq,
        signed_at=None if found.signed_at_ms is None else time_of(found.signed_at_ms),
        archived_seq=found.archived_seq,
        oldest_seq=found.oldest_seq,
        forwarding=[
            TargetStatus(target=t.target, seq=t.seq, error=t.error or None, updated_at=time_of(t.updated_at_ms))
            for t in found.forwarded
        ],
    )


async def _require(request: CurrentRequest, resource: str, below: str) -> None:
    place = _place(resource, below)
    await authorize.require_here(request, place.path if place is not None and place.kind == REPOSITORY else place)


def _place(resource: str, below: str) -> Place | None:
    """The place of all records that this filter can find; None if they can be anywhere."""
    if below:
        return Place.parse(NAMESPACE, below)
    kind, _, path = resource.partition(":")
    if kind in {NAMESPACE, REPOSITORY} and is_repository_name(path):
        return Place(kind, path)
    return None


def _where(resource: str, below: str) -> str:
    """The resource that the reader named, as the audit log writes it."""
    return decisions.place_resource(_place(resource, below) or Place(REGISTRY, ""))


def _filter(
    actor: str,
    action: str,
    resource: str,
    below: str,
    digest: str,
    address: str,
    outcome: str | None,
    from_: Time | None,
    to: Time | None,
) -> Filter:
    return Filter(
        actor,
        action,
        resource,
        below.strip("/"),
        digest,
        address,
        outcome or "",
        None if from_ is None else milliseconds(from_),
        None if to is None else milliseconds(to),
    )


def _entry(found: Found) -> RecordEntry:
    return RecordEntry.model_construct(seq=found.seq, hash=found.hash, record=orjson.loads(found.record))


ROUTES = (
    ApiRoute("GET", "/audit", listing, _READ, where=None),
    ApiRoute(
        "GET",
        "/audit/export",
        export,
        _READ,
        where=None,
        response_class=StreamingResponse,
        responses={
            200: {
                "description": "The export in the requested format.",
                "content": {media_type: {} for media_type in MEDIA_TYPES.values()},
            }
        },
    ),
    ApiRoute("GET", "/audit/public-key", public_key, Permission.SIGNED_IN),
    ApiRoute("GET", "/audit/status", status, _READ),
)
