"""Joins the commands; errors become one line and an exit status."""

import sys

import typer

from entrepot.cli import audit, config, maintenance, migrate, namespace, serve, user
from entrepot.errors import EntrepotError

app = typer.Typer(
    name="entrepot",
    help="Entrepot, a private container registry.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("serve")(serve.serve)
app.command("worker")(maintenance.worker)
app.command("collect")(maintenance.collect)
app.command("migrate")(migrate.migrate)
app.add_typer(config.app, name="config")
app.add_typer(user.app, name="user")
app.add_typer(namespace.app, name="namespace")
app.add_typer(audit.app, name="audit")


def main() -> None:
    try:
        app()
    except EntrepotError as error:
        print(f"entrepot: {error.message}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        # The machine's own words name the file or the address that is not as it should be.
        print(f"entrepot: {error}", file=sys.stderr)
        sys.exit(1)
