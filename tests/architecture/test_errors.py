"""Every error has an answer, and every answer's code is one that clients know."""

import re

import pytest

from entrepot import errors
from entrepot.errors import EntrepotError
from entrepot.http.api.problems import REQUEST_INVALID, UNEXPECTED
from entrepot.http.errors import CLIENT_GONE, TABLE, status_and_code
from tests.architecture.program import ROOT, error_classes

OCI_CODES = {
    "BLOB_UNKNOWN",
    "BLOB_UPLOAD_INVALID",
    "BLOB_UPLOAD_UNKNOWN",
    "DIGEST_INVALID",
    "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID",
    "MANIFEST_UNKNOWN",
    "NAME_INVALID",
    "NAME_UNKNOWN",
    "SIZE_INVALID",
    "UNAUTHORIZED",
    "DENIED",
    "UNSUPPORTED",
    "TOOMANYREQUESTS",
}
"""OCI distribution specification, "Error Codes"."""
OWN_CODES = {"UNAVAILABLE", "UNKNOWN"}
"""For what is the registry's own fault, of which the specification does not speak."""

ERRORS = error_classes()
KINDS = [error for error in ERRORS if error.__module__ == errors.__name__]
NEVER_ANSWERED = tuple(f"entrepot.{module}" for module in ("cli", "lifecycle", "migrations", "settings"))
"""What only commands and the start meet."""


def _name(error: type[EntrepotError]) -> str:
    return f"{error.__module__}.{error.__qualname__}"


def test_kinds_when_read_have_a_row_each() -> None:
    assert KINDS
    assert [_name(kind) for kind in KINDS if kind not in TABLE] == []


def test_rows_when_read_are_of_errors_that_exist() -> None:
    assert sorted(map(_name, set(TABLE) - set(ERRORS))) == []


@pytest.mark.parametrize("error", ERRORS, ids=_name)
def test_error_of_any_module_has_an_answer(error: type[EntrepotError]) -> None:
    bare = error.__new__(error)

    status, code = status_and_code(bare)

    assert 400 <= status <= 599
    assert code in (OCI_CODES | OWN_CODES)


@pytest.mark.parametrize("error", ERRORS, ids=_name)
def test_error_of_any_module_is_of_a_kind(error: type[EntrepotError]) -> None:
    assert any(issubclass(error, kind) for kind in KINDS)


@pytest.mark.parametrize("error", TABLE, ids=_name)
def test_code_of_a_row_fits_its_status(error: type[EntrepotError]) -> None:
    status, code = TABLE[error]

    if status >= 500:
        assert code in OWN_CODES
    else:
        assert code in OCI_CODES


@pytest.mark.parametrize("error", TABLE, ids=_name)
def test_status_of_a_row_is_not_worse_than_its_kind(error: type[EntrepotError]) -> None:
    """What a client is told to be its own fault must not be the registry's, nor the other way round."""
    kind = next(above for above in error.__mro__ if above in KINDS)

    assert (TABLE[error][0] >= 500) == (TABLE[kind][0] >= 500)


def test_status_of_no_standard_is_for_clients_that_are_gone() -> None:
    assert [error for error, (status, _) in TABLE.items() if status == CLIENT_GONE] == [errors.ClientGone]


@pytest.mark.parametrize("error", ERRORS, ids=_name)
def test_error_of_any_module_has_a_code_of_its_own(error: type[EntrepotError]) -> None:
    assert "code" in vars(error)
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", error.code)
    assert [other for other in ERRORS if other.code == error.code] == [error]


def test_page_of_codes_lists_what_the_api_answers() -> None:
    page = (ROOT / "docs/reference/errors.md").read_text(encoding="utf-8")

    listed = [
        (code, int(status)) for code, status in re.findall(r"^\| `(\w+)` \| (\d+) \| .+\. \|$", page, re.MULTILINE)
    ]

    answered = [error for error in ERRORS if not error.__module__.startswith(NEVER_ANSWERED)]
    codes = {error.code: status_and_code(error.__new__(error))[0] for error in answered}
    codes |= {REQUEST_INVALID: 422, UNEXPECTED: 500}
    assert listed == sorted(codes.items(), key=lambda row: (row[1], row[0]))
