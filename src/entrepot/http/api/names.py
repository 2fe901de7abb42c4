"""Types for texts in paths, queries and bodies that both databases can store."""

from typing import Annotated

from fastapi import Path, Query
from pydantic import StringConstraints

_SHOWN = r"^[^\x00-\x1f\x7f]*$"
_ONE_OR_MORE = r"^[^\x00-\x1f\x7f]+$"

ProviderName = Annotated[
    str, Path(pattern=r"^[a-z0-9-]{1,64}$", description="The provider: `local`, or one of `/providers`.")
]
Name = Annotated[str, Path(max_length=255, pattern=_ONE_OR_MORE)]
TokenId = Annotated[str, Path(max_length=16, pattern=r"^[0-9A-Za-z]+$")]
Search = Annotated[str, Query(max_length=255, pattern=_SHOWN, description="Only names that contain this text.")]
ProviderQuery = Annotated[str | None, Query(pattern=r"^[a-z0-9-]{1,64}$", description="Only entries of this provider.")]
Text = Annotated[str, StringConstraints(max_length=255, pattern=_SHOWN)]
Key = Annotated[str, StringConstraints(min_length=3, max_length=320, pattern=_SHOWN)]
"""`provider:name`."""
Password = Annotated[str, StringConstraints(max_length=1024)]
