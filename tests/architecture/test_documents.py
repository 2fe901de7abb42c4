"""The documents say what is there, and nothing in the project is bound to one package registry."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.program import PACKAGE, ROOT

NOT_OURS = {".git", ".venv", "build", "data", "dist", "results", "node_modules"}
TEXT_BYTES_MAX = 4 * 1024 * 1024
REGISTRY_HOSTS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pypi", "python", "org"),
        ("pythonhosted", "org"),
        ("proxy", "golang", "org"),
        ("sum", "golang", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
        ("crates", "io"),
        ("rubygems", "org"),
        ("anaconda", "org"),
        ("deb", "debian", "org"),
        ("security", "debian", "org"),
        ("archive", "ubuntu", "com"),
        ("security", "ubuntu", "com"),
        ("dl-cdn", "alpinelinux", "org"),
        ("repo1", "maven", "org"),
    )
]
"""In parts, so that this file does not name them."""
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
_MAKE = re.compile(r"(?:^|`|\$ )make ([a-z][a-z-]*)", re.MULTILINE)
_TARGET = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)


def _files(directory: Path = ROOT) -> Iterator[Path]:
    for path in sorted(directory.iterdir()):
        if path.is_symlink() or path.name in NOT_OURS or path.name.endswith(("_cache", ".egg-info")):
            continue
        if path.name in {"__pycache__", ".hypothesis"}:
            continue
        if path.is_dir():
            yield from _files(path)
        else:
            yield path


def _documents() -> list[Path]:
    return [path for path in _files() if path.suffix == ".md"]


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_folders_and_files_of_the_program_are_on_the_map() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    parts = [f"{path.name}/" for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"]
    parts += [path.name for path in PACKAGE.glob("*.py") if not path.name.startswith("__")]

    assert sorted(part for part in parts if f"`{part}`" not in page) == []


def test_map_of_the_program_has_only_what_is_there() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z_]+(?:/|\.py))` \|", page, re.MULTILINE)

    assert rows
    assert [row for row in rows if not (PACKAGE / row).exists()] == []


def test_files_named_on_the_map_are_there() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_]+/[a-z_/0-9]+\.py)`", page))

    assert named
    assert sorted(name for name in named if not (PACKAGE / name).exists()) == []


def test_decisions_in_files_are_those_in_the_list() -> None:
    folder = ROOT / "docs/decisions"
    listed = re.findall(r"^\| \[(\d{4})\]\((\S+?)\) \|", (folder / "README.md").read_text(encoding="utf-8"), re.M)

    assert [file for _, file in listed] == sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert [file[:4] for _, file in listed] == [number for number, _ in listed]
    assert len({number for number, _ in listed}) == len(listed), "numbers are never reused"


@pytest.mark.parametrize("document", _documents(), ids=_name)
def test_make_targets_in_documents_exist(document: Path) -> None:
    targets = set(_TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))
    asked = set(_MAKE.findall(document.read_text(encoding="utf-8")))

    assert sorted(asked - targets) == []


def test_make_targets_in_the_readme_are_found() -> None:
    assert {"serve", "test"} <= set(_MAKE.findall((ROOT / "README.md").read_text(encoding="utf-8")))


@pytest.mark.parametrize("document", _documents(), ids=_name)
def test_links_in_documents_lead_somewhere(document: Path) -> None:
    links = _LINK.findall(document.read_text(encoding="utf-8"))
    near = [link for link in links if "://" not in link and not link.startswith("mailto:")]

    assert [link for link in near if not (document.parent / link).exists()] == []


def test_files_of_the_project_name_no_package_registry() -> None:
    named = []
    for path in _files():
        if path.stat().st_size > TEXT_BYTES_MAX:
            continue
        text = path.read_bytes().decode("utf-8", "replace").lower()
        named += [f"{_name(path)}: {host}" for host in REGISTRY_HOSTS if host in text]

    assert named == []
