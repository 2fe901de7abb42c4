"""One frozen tree of settings: defaults, then a TOML file, then ENTREPOT_… variables. Code gets values, not the tree.

Every key `section.name` is also the variable `ENTREPOT_SECTION_NAME`. An unknown key is an error, and all errors are
reported at once.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from entrepot.errors import Invalid

VARIABLE_PREFIX = "ENTREPOT_"
OTHER_VARIABLES = frozenset({"ENTREPOT_ADMIN_PASSWORD", "ENTREPOT_CONFIG"})
TEST_VARIABLE_PREFIX = "ENTREPOT_TEST_"


class SettingsInvalid(Invalid):
    pass


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ServerSettings(_Section):
    """How clients reach the registry."""

    listen: str = "127.0.0.1:5000"
    """Address and port to listen on."""
    workers: int = Field(default=0, ge=0, le=256)
    """Worker processes; 0 means one for each processor, four at most."""
    pin_workers: bool = True
    """Keep each worker on a processor of its own, but for hashing and writing blobs (Linux)."""
    external_url: str = ""
    """The URL clients use, for the token service's address behind a proxy; empty: taken from each request."""
    tls_cert: Path | None = None
    """PEM file with the certificate and its chain; replaced files are picked up without a restart."""
    tls_key: Path | None = None
    """PEM file (PKCS#8) with the certificate's key."""
    drain_seconds: int = Field(default=30, ge=1, le=3600)
    """How long requests in flight may go on after SIGTERM; an upload cut off then can be resumed."""
    header_timeout_seconds: int = Field(default=30, ge=1, le=60)
    """How long a client may take to send a request's headers."""
    body_idle_seconds: int = Field(default=60, ge=1, le=3600)
    """How long a client may pause while it sends a body."""
    body_bytes_per_second_min: int = Field(default=1024, ge=0)
    """The average rate below which a body is refused, once `body_idle_seconds` have passed."""


class DatabaseSettings(_Section):
    """Where names, links and users are kept."""

    url: str = ""
    """`sqlite:////path/to/file` or `postgresql://user:password@host/name`; empty: SQLite in the data directory."""
    connections: int = Field(default=8, ge=2, le=100)
    """Connections of each worker to PostgreSQL."""


class StorageSettings(_Section):
    """Where the bytes of blobs are kept."""

    url: str = ""
    """`file:///path`, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container`; empty: the data directory."""
    redirect: bool = True
    """Let clients fetch blobs from the object store by a presigned URL; false: send them through the registry."""
    small_blob_bytes_max: int = Field(default=32 * 1024, ge=0, le=128 * 1024)
    """Blobs up to this size are kept in the database, which is several times faster for them; 0: only empty ones."""
    options: dict[str, str] = Field(default_factory=dict)
    """Options of the object store: endpoint, region, access_key_id, secret_access_key, allow_http…"""


class RegistrySettings(_Section):
    """What the registry accepts."""

    allow_sparse_manifests: bool = False
    """Accept manifests whose blobs or children are not in the repository."""
    upload_expiry_seconds: int = Field(default=7 * 24 * 3600, ge=60)
    """How long an unfinished upload can be resumed after its last byte."""
    uploads_per_user_max: int = Field(default=1000, ge=1)
    """Unfinished uploads that one user may have at a time."""
    orphan_grace_seconds: int = Field(default=24 * 3600, ge=60)
    """How old stored bytes that nothing refers to must be before they are collected."""


class TokenSettings(_Section):
    """The token service of the Docker protocol."""

    lifetime_seconds: int = Field(default=300, ge=60, le=3600)
    """How long a bearer token is good for."""


class LogSettings(_Section):
    """What is written to the standard output, one JSON object a line."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severity that is written."""
    access: bool = True
    """Write a line for each request."""


class Settings(_Section):
    """All settings."""

    data: Path = Path("data")
    """The data directory: keys, and the database and blobs unless they are elsewhere."""
    server: ServerSettings = ServerSettings()
    database: DatabaseSettings = DatabaseSettings()
    storage: StorageSettings = StorageSettings()
    registry: RegistrySettings = RegistrySettings()
    token: TokenSettings = TokenSettings()
    log: LogSettings = LogSettings()


def load(
    file: Path | None = None,
    variables: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
) -> Settings:
    """Join defaults, file, variables and overrides (dotted keys, None ignored). Raises SettingsInvalid."""
    environment = os.environ if variables is None else variables
    tree = _read(file) if file is not None else {}
    problems: list[str] = []
    for dotted, value in _from_variables(environment, problems):
        _put(tree, dotted, value)
    for dotted, override in (overrides or {}).items():
        if override is not None:
            _put(tree, dotted, override)
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        problems += [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
    if settings is None or problems:
        raise SettingsInvalid("the settings are not valid:\n" + "\n".join(f"  {problem}" for problem in problems))
    if (settings.server.tls_cert is None) != (settings.server.tls_key is None):
        raise SettingsInvalid("server.tls_cert and server.tls_key go together: give both or neither")
    return settings


def documented() -> list[tuple[str, str, object, str]]:
    """Every setting: dotted key, variable, default, meaning."""
    rows = []
    for name, field in Settings.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            for key, inner in section.model_fields.items():
                rows.append(
                    (
                        f"{name}.{key}",
                        _variable(f"{name}.{key}"),
                        inner.get_default(call_default_factory=True),
                        inner.description or "",
                    )
                )
        else:
            rows.append((name, _variable(name), field.default, field.description or ""))
    return rows


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"{file}: {error}") from None


def _variable(dotted: str) -> str:
    return VARIABLE_PREFIX + dotted.replace(".", "_").upper()


def _from_variables(environment: Mapping[str, str], problems: list[str]) -> list[tuple[str, object]]:
    known = {variable: dotted for dotted, variable, _, _ in documented()}
    found: list[tuple[str, object]] = []
    for variable, value in environment.items():
        if not variable.startswith(VARIABLE_PREFIX) or variable in OTHER_VARIABLES:
            continue
        if variable in known:
            found.append((known[variable], _options(value) if known[variable] == "storage.options" else value))
        elif not variable.startswith(TEST_VARIABLE_PREFIX):
            problems.append(f"{variable}: there is no such setting")
    return found


def _options(text: str) -> dict[str, str]:
    """`key=value,key=value` as a table."""
    return {key.strip(): value for key, _, value in (item.partition("=") for item in text.split(",") if item)}


def _put(tree: dict[str, Any], dotted: str, value: object) -> None:
    *sections, last = dotted.split(".")
    for section in sections:
        table = tree.setdefault(section, {})
        if not isinstance(table, dict):
            return  # The file has something else there, which validation will say.
        tree = table
    tree[last] = value
