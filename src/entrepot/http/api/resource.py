"""What the resources of the API have in common: routes as rows, who calls, pages, and entity tags."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Header, Query
from pydantic import BaseModel, ConfigDict, model_validator
from starlette.requests import Request as StarletteRequest
from starlette.responses import JSONResponse
from starlette.responses import Response as StarletteResponse

from entrepot.access.decision import Where
from entrepot.access.permissions import Permission
from entrepot.content.preconditions import Precondition
from entrepot.http.messages import Request
from entrepot.http.routing import the_registry

REQUEST_KEY = "entrepot.request"
"""Where the application puts its own request, with its principal, into the ASGI scope."""
PAGE_MAX = 1000
PAGE_DEFAULT = 100
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class ApiRoute:
    """A row: what is called how, and what it needs. `where` is as in `routing.Route`.

    `responses` describes responses beside the usual one, as FastAPI wants them.
    """

    method: str
    path: str
    endpoint: Callable[..., Any]
    permission: Permission
    status: int = 200
    where: Callable[[Request], Where] | None = the_registry
    responses: Mapping[int | str, dict[str, Any]] = field(default_factory=dict)
    response_class: type[StarletteResponse] = JSONResponse


class Model(BaseModel):
    """A body or an answer. Unknown members of a body are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nul(cls, value: Any) -> Any:
        """PostgreSQL keeps no text with a NUL in it, and nothing here needs one."""
        texts = value.values() if isinstance(value, dict) else ()
        if any(isinstance(text, str) and "\0" in text for text in texts):
            raise ValueError("a text has a NUL in it")
        return value


class Page(Model, Generic[M]):
    """One page of a list. `next` is the `after` of the next one, null at the end."""

    items: list[M]
    next: str | None


def current(request: StarletteRequest) -> Request:
    found: Request = request.scope[REQUEST_KEY]
    return found


CurrentRequest = Annotated[Request, Depends(current)]
"""The request, with its `app`, `principal` and `origin`."""
PageLimit = Annotated[int, Query(ge=1, le=PAGE_MAX, description="Entries in a page.")]
After = Annotated[
    str, Query(max_length=400, pattern=r"^[^\x00]*$", description="Where the page before ended: its `next`.")
]
IfMatch = Annotated[
    str | None, Header(alias="If-Match", description="Change only if the resource still has this entity tag.")
]


def entity_tag(model: BaseModel) -> str:
    """A strong validator of what a client sees (RFC 9110, section 8.8.3)."""
    return f'"{hashlib.sha256(model.model_dump_json().encode()).hexdigest()[:32]}"'


def tagged(response: StarletteResponse, model: M) -> M:
    """Put the model's entity tag on the response."""
    response.headers["etag"] = entity_tag(model)
    return model


def require_match(if_match: str | None, model: BaseModel | None) -> None:
    """To be called in the transaction that changes the resource, with what it is before. Raises PreconditionFailed."""
    current_tag = None if model is None else entity_tag(model).strip('"')
    Precondition.parse(if_match).require("the resource", current_tag)


def page_of(items: list[M], limit: int, position: Callable[[M], object]) -> Page[M]:
    """A page of at most `limit`, of one entry more than that where there is one."""
    shown = items[:limit]
    return Page(items=shown, next=str(position(shown[-1])) if len(items) > limit else None)


def after_number(after: str) -> int:
    """The position in a list that is ordered by number; the beginning for something that is none."""
    return int(after) if after.isdecimal() and after.isascii() and len(after) < 19 else 0
