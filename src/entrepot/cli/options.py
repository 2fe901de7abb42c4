"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[Path | None, typer.Option("--data", metavar="DIR", help="The data directory [default: data].")]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", envvar="ENTREPOT_CONFIG", help="A TOML file with settings."),
]
JSON = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
