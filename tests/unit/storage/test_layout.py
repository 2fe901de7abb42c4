"""Names in a blob store."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.oci.digest import ALGORITHMS, Digest
from entrepot.storage import layout
from tests.budgets import budget

UPLOAD = "6f1e2a4c-0000-4000-8000-000000000001"


def test_part_of_an_upload_is_below_uploads() -> None:
    assert layout.part(UPLOAD, "abc") == f"uploads/{UPLOAD}.abc"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_blob_of_any_algorithm_is_below_the_start_of_its_digest(algorithm: str) -> None:
    digest = Digest.of(b"content", algorithm)

    assert layout.blob(digest, UPLOAD, "abc") == f"blobs/{algorithm}/{digest.hex[:2]}/{digest.hex}.{UPLOAD}.abc"


@given(upload=st.uuids().map(str), content=st.binary(max_size=5), algorithm=st.sampled_from(ALGORITHMS))
@budget(100)
def test_upload_of_any_location_is_found_again(upload: str, content: bytes, algorithm: str) -> None:
    name = layout.new_part()

    assert layout.upload_id(layout.part(upload, name)) == upload
    assert layout.upload_id(layout.blob(Digest.of(content, algorithm), upload, name)) == upload


def test_parts_when_made_have_different_names() -> None:
    names = {layout.new_part() for _ in range(100)}

    assert len(names) == 100
    assert all("." not in name and "/" not in name for name in names)
