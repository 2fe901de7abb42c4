"""Forms that browsers and clients post."""

from urllib.parse import parse_qs

from entrepot.errors import Invalid
from entrepot.http.messages import Request

FORM_BYTES_MAX = 64 * 1024
FORM_FIELDS_MAX = 2048
"""As of a query."""


async def read_form(request: Request) -> dict[str, str]:
    """The first of each field. Raises Invalid, TooLarge."""
    return {name: values[0] for name, values in (await read_fields(request, FORM_BYTES_MAX)).items()}


async def read_fields(request: Request, bytes_max: int) -> dict[str, list[str]]:
    """All of each field. Raises Invalid, TooLarge."""
    text = (await request.body(bytes_max)).decode("utf-8", "replace")
    try:
        return parse_qs(text, keep_blank_values=True, max_num_fields=FORM_FIELDS_MAX)
    except ValueError:
        raise Invalid(f"the form cannot be read: send at most {FORM_FIELDS_MAX} fields") from None
