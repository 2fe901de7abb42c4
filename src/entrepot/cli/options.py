"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[Path | None, typer.Option("--data", metavar="DIR", help="The data directory (default: data).")]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", envvar="ENTREPOT_CONFIG", help="The settings file (TOML)."),
]
JSON = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Expires = Annotated[
    str | None, typer.Option("--expires", metavar="DURATION", help="90d, 12h, 30m, or never.", show_default=True)
]
Permissions = Annotated[
    list[str],
    typer.Option(
        "--permission",
        metavar="PERMISSION",
        help="Limit the token to this permission, such as repository:pull. Can be repeated.",
    ),
]
Overlap = Annotated[
    str, typer.Option("--overlap", metavar="DURATION", help="How long the old token stays valid beside the new one.")
]
