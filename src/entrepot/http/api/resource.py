"""What the API's resources share: route rows, the caller, pages and entity tags."""

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
"""The key in the ASGI scope of the application's own request, which has the principal."""
PAGE_MAX = 1000
PAGE_DEFAULT = 100
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class ApiRoute:
    """A route: method, path, endpoint and permission. `where` is as in `routing.Route`.

    `responses` describes further responses, in FastAPI's form.
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
    """The body of a request or a response. Unknown members of a request are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nul(cls, value: Any) -> Any:
        """Raises ValueError for a text with a NUL character, which PostgreSQL cannot store."""
        texts = value.values() if isinstance(value, dict) else ()
        if any(isinstance(text, str) and "\0" in text for text in texts):
            raise ValueError("a text contains a NUL character: remove it")
        return value


class Page(Model, Generic[M]):
    """One page of a list. `next` is the `after` of the next page; null at the end."""

    items: list[M]
    next: str | None


def current(request: StarletteRequest) -> Request:
    found: Request = request.scope[REQUEST_KEY]
    return found


CurrentRequest = Annotated[Request, Depends(current)]
"""The request, with its `app`, `principal` and `origin`."""
PageLimit = Annotated[int, Query(ge=1, le=PAGE_MAX, description="The most entries in a page.")]
After = Annotated[
    str, Query(max_length=400, pattern=r"^[^\x00]*$", description="Where to continue: the `next` of the page before.")
]
IfMatch = Annotated[
    str | None, Header(alias="If-Match", description="Change only if the resource still has this entity tag.")
]


def entity_tag(model: BaseModel) -> str:
    """A strong entity tag of what a client sees (RFC 9110, section 8.8.3)."""
    return f'"{hashlib.sha256(model.model_dump_json().encode()).hexdigest()[:32]}"'


def tagged(response: StarletteResponse, model: M) -> M:
    """Put the model's entity tag on the response."""
    response.headers["etag"] = entity_tag(model)
    return model


def require_match(if_match: str | None, model: BaseModel | None) -> None:
    """Compare If-Match with the current resource, in the transaction that changes it. Raises PreconditionFailed."""
    current_tag = None if model is None else entity_tag(model).strip('"')
    Precondition.parse(if_match).require("the resource", current_tag)


def page_of(items: list[M], limit: int, position: Callable[[M], object]) -> Page[M]:
    """A page of at most `limit` entries, made from one entry more if there are more."""
    shown = items[:limit]
    return Page(items=shown, next=str(position(shown[-1])) if len(items) > limit else None)


def after_number(after: str) -> int:
    """The position in a list ordered by number; the beginning if the text is not a number."""
    return int(after) if after.isdecimal() and after.isascii() and len(after) < 19 else 0
