"""What a test needs of the machine it runs on.

What is not here skips the test, and the reason names what would provide it; `tests/conftest.py`
lists these reasons when the run ends, and makes failures of them where ENTREPOT_TEST_REQUIRE_ALL=1.
"""

import hashlib
import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def cannot_run(reason: str, *, provided_by: str) -> NoReturn:
    """Skip the running test: `reason` is what is wrong, `provided_by` what would mend it."""
    pytest.skip(f"{reason} (provided by: {provided_by})")


def find_program(name: str) -> Path | None:
    """A program beside this Python, on PATH, or where a system keeps its daemons."""
    environment_programs = str(Path(sys.executable).parent)
    path = os.pathsep.join([environment_programs, os.environ.get("PATH", ""), SYSTEM_PATH])
    found = shutil.which(name, path=path)
    return Path(found) if found else None


def require_program(name: str, *, package: str) -> Path:
    """The path of a program; `package` is the Debian package that has it."""
    found = find_program(name)
    if found is None:
        cannot_run(f"{name} is not installed", provided_by=f"Debian package {package}")
    return found


def require_python_program(name: str, *, package: str) -> Path:
    """The path of a program that a package of the Python package index ships."""
    found = find_program(name)
    if found is None:
        cannot_run(f"{name} is not installed", provided_by=f"Python package {package}")
    return found


def require_go_tool(name: str) -> Path:
    """The path of a program that `tools/install` builds, else one of that name on PATH."""
    version = _go_tool_versions().get(name)
    if version is None:
        raise LookupError(f"{name} is not in tools/go-tools.txt")
    built = _tool_cache() / f"{name}@{version}" / name
    found = built if built.is_file() else find_program(name)
    if found is None:
        cannot_run(f"{name} {version} is not built", provided_by=f"tools/install {name}")
    return found


def require_node_packages(name: str, folder: Path) -> Path:
    """The `node_modules` of a folder with a lock file, which `tools/install` installs elsewhere."""
    locked = b"".join((folder / file).read_bytes() for file in ("package.json", "package-lock.json"))
    modules = _tool_cache() / f"{name}@{hashlib.sha256(locked).hexdigest()[:12]}" / "node_modules"
    if not modules.is_dir():
        cannot_run(f"{name} is not installed", provided_by=f"tools/install {name}")
    return modules


def require_root(purpose: str) -> None:
    """Skip unless the tests run as root; `purpose` says what needs it."""
    if os.geteuid() != 0:
        cannot_run(f"{purpose} needs root", provided_by="running the tests as root")


def _tool_cache() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "entrepot" / "tools"


def _go_tool_versions() -> dict[str, str]:
    lines = (REPOSITORY / "tools" / "go-tools.txt").read_text().splitlines()
    rows = [line.split() for line in lines if line and not line.startswith("#")]
    return {name: version for name, _, version, *_ in rows}
