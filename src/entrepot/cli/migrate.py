"""`entrepot migrate`."""

from entrepot import settings as settings_module
from entrepot.cli import direct
from entrepot.cli.options import ConfigFile, Data
from entrepot.cli.output import line
from entrepot.migrations import schema


def migrate(data: Data = None, config: ConfigFile = None) -> None:
    """Bring the database to the newest schema; `entrepot serve` does so by itself."""
    settings = settings_module.load(config, overrides={"data": data})
    done = direct.upgrade(settings)
    line(f"the database is at revision {schema.HEAD}{' now' if done else ' already'}")
