"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[Path | None, typer.Option("--data", metavar="DIR", help="The data directory (default: data).")]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", envvar="ENTREPOT_CONFIG", help="A TOML file with settings."),
]
JSON = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Expires = Annotated[
    str | None, typer.Option("--expires", metavar="DURATION", help="90d, 12h, 30m, or never.", show_default=True)
]
Permissions = Annotated[
    list[str],
    typer.Option("--permission", metavar="PERMISSION", help="Limit to this, as repository:pull; several may be given."),
]
Overlap = Annotated[
    str, typer.Option("--overlap", metavar="DURATION", help="How long the old token is good beside the new one.")
]
