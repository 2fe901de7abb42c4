"""The program's files, and all of its modules."""

import importlib
import pkgutil
from pathlib import Path

import entrepot
from entrepot.errors import EntrepotError

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "entrepot"
NOT_IMPORTED = ("entrepot.__main__", "entrepot.migrations.env", "entrepot.migrations.versions.")
"""These run when they are imported, or only inside of Alembic."""


def import_everything() -> None:
    for module in pkgutil.walk_packages(entrepot.__path__, "entrepot."):
        if not module.name.startswith(NOT_IMPORTED):
            importlib.import_module(module.name)


def error_classes() -> list[type[EntrepotError]]:
    """Every error there is, in the program's own modules."""
    import_everything()
    found: set[type[EntrepotError]] = set()
    below: list[type[EntrepotError]] = [EntrepotError]
    while below:
        for error in below.pop().__subclasses__():
            if error not in found and error.__module__.startswith("entrepot."):
                found.add(error)
                below.append(error)
    return sorted(found, key=lambda error: (error.__module__, error.__qualname__))
