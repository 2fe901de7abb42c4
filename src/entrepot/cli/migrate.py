"""`entrepot migrate`."""

from entrepot import settings as settings_module
from entrepot.cli import direct
from entrepot.cli.options import ConfigFile, Data
from entrepot.cli.output import line
from entrepot.migrations import schema


def migrate(data: Data = None, config: ConfigFile = None) -> None:
    """Upgrade the database to the newest schema. `entrepot serve` does this when it starts."""
    settings = settings_module.load(config, overrides={"data": data})
    done = direct.upgrade(settings)
    line(f"the database {'is now' if done else 'was already'} at revision {schema.HEAD}")
