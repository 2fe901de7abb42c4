"""One frozen tree of settings: defaults, then a TOML file, then ENTREPOT_… variables. Code gets values, not the tree.

Every key `section.name` is also the variable `ENTREPOT_SECTION_NAME`. An unknown key is an error, and all errors are
reported at once.
"""

import ipaddress
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from entrepot.errors import Invalid

VARIABLE_PREFIX = "ENTREPOT_"
OTHER_VARIABLES = frozenset(
    {"ENTREPOT_ADMIN_PASSWORD", "ENTREPOT_CONFIG", "ENTREPOT_URL", "ENTREPOT_TOKEN", "ENTREPOT_CA_FILE"}
)
TEST_VARIABLE_PREFIX = "ENTREPOT_TEST_"


PROVIDER_NAMES_RESERVED = frozenset({"local", "robot", "operator"})

_ORIGIN = re.compile(
    r"(?!http://.*:80$|https://.*:443$)https?://(?:[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(?::[1-9][0-9]{0,4})?",
    re.ASCII,
)


class SettingsInvalid(Invalid):
    code = "settings_invalid"


def _network(value: str) -> str:
    ipaddress.ip_network(value)
    return value


Network = Annotated[str, AfterValidator(_network)]
"""A network in CIDR notation, or one address."""


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
    trusted_proxies: tuple[Network, ...] = ()
    """Networks (CIDR) whose `X-Forwarded-*`, `Forwarded` and `Client-Cert` headers are believed."""
    allowed_origins: tuple[str, ...] = ()
    """Origins (`https://ui.example.test`) whose pages may call the registry, with a token or password of their own."""
    public_metrics: bool = False
    """Let everybody read `/metrics`, and not only who has `metrics:read`."""
    public_api_document: bool = False
    """Let everybody read `/api/v1/openapi.json`, and not only who is signed in."""
    tls_cert: Path | None = None
    """PEM file with the certificate and its chain; replaced files are picked up without a restart."""
    tls_key: Path | None = None
    """PEM file (PKCS#8) with the certificate's key."""
    drain_seconds: int = Field(default=30, ge=1, le=3600)
    """How long requests in flight may go on after SIGTERM; an upload cut off then can be resumed."""
    shutdown_delay_seconds: int = Field(default=0, ge=0, le=600)
    """How long, after SIGTERM, new connections are still taken while `/readyz` says 503: time for balancers to look."""
    header_timeout_seconds: int = Field(default=30, ge=1, le=60)
    """How long a client may take to send a request's headers, on a new connection together with all before them."""
    body_idle_seconds: int = Field(default=300, ge=1, le=3600)
    """How long a client may pause while it sends a body; an upload that is refused then can be resumed."""
    body_bytes_per_second_min: int = Field(default=1024, ge=0)
    """The average rate below which a body is refused, once `body_idle_seconds` have passed, and an answer not taken."""
    answer_idle_seconds: int = Field(default=120, ge=1, le=3600)
    """How long a client may take nothing of an answer, or keep an HTTP/2 connection without a request (Linux)."""
    connections_per_address: int = Field(default=512, ge=0)
    """Connections, and HTTP/2 requests at a time, of an address but trusted proxies, shared by workers; 0: no limit."""

    @field_validator("external_url")
    @classmethod
    def _at_the_root(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in {"http", "https"} or not parts.netloc):
            raise ValueError("write it with https:// or http:// and a host")
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError("a registry has a host name of its own, and no path: clients ask for /v2/ right below it")
        return value

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin!r} is no origin: write it as browsers do, https://ui.example.test")
        return value


class DatabaseSettings(_Section):
    """Where names, links and users are kept."""

    url: str = ""
    """`sqlite:////path/to/file` or `postgresql://user:password@host/name`; empty: SQLite in the data directory."""
    connections: int = Field(default=8, ge=2, le=100)
    """Connections of each worker, and of the maintenance process, to PostgreSQL; each has one more that listens."""
    statement_seconds: int = Field(default=30, ge=1, le=3600)
    """How long one statement may take in PostgreSQL, and a silent connection is waited for."""


class StorageSettings(_Section):
    """Where the bytes of blobs are kept."""

    url: str = ""
    """`file:///path`, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container`; empty: the data directory."""
    redirect: bool = True
    """Let clients fetch blobs from the object store by a presigned URL; false: send them through the registry."""
    small_blob_bytes_max: int = Field(default=16 * 1024, ge=0, le=128 * 1024)
    """Blobs up to this size are kept in the database, which saves some work for each; 0: only empty ones."""
    connect_seconds: int = Field(default=5, ge=1, le=300)
    """How long a connection to the object store may take to be there."""
    call_seconds: int = Field(default=20, ge=1, le=300)
    """How long the object store may take, retries and all, to look for, sign, delete or list (a page of) objects."""
    idle_seconds: int = Field(default=30, ge=1, le=3600)
    """How long the object store may send nothing of a blob, or let an upload wait before it is asked if it is there."""
    piece_seconds: int = Field(default=300, ge=1, le=3600)
    """How long an object store that answers may take for a piece (8 MiB) of an upload; four are under way at once."""
    options: dict[str, str] = Field(default_factory=dict)
    """Options of the object store: endpoint, region, access_key_id, secret_access_key, allow_http…"""


class RegistrySettings(_Section):
    """What the registry accepts."""

    blob_bytes_max: int = Field(default=64 * 1024**3, ge=1024)
    """The largest blob that is taken, in bytes."""
    allow_sparse_manifests: bool = False
    """Accept manifests whose blobs or children are not in the repository."""
    upload_expiry_seconds: int = Field(default=7 * 24 * 3600, ge=60)
    """How long an unfinished upload can be resumed after its last byte."""
    uploads_per_user_max: int = Field(default=1000, ge=1)
    """Unfinished uploads that one user may have at a time."""
    garbage_grace_seconds: int = Field(default=24 * 3600, ge=60)
    """How old stored bytes that nothing refers to must be before they are listed as garbage."""
    garbage_keep_days: int = Field(default=7, ge=0)
    """How long garbage is kept aside before it is removed for good."""


class TokenSettings(_Section):
    """The token service of the Docker protocol."""

    lifetime_seconds: int = Field(default=300, ge=60, le=3600)
    """How long a bearer token is good for."""
    refresh_lifetime_seconds: int = Field(default=30 * 24 * 3600, ge=3600)
    """How long a refresh token (`offline_token`, `access_type=offline`) is good for after its last use."""


class LoginSettings(_Section):
    """Signing in with a password, and the sessions of browsers."""

    password_characters_min: int = Field(default=12, ge=8, le=128)
    """The fewest characters of a local user's password."""
    failures_free: int = Field(default=5, ge=1, le=1_000_000)
    """Wrong passwords after which each further try has to wait, twice as long every time."""
    delay_seconds_max: int = Field(default=900, ge=1, le=24 * 3600)
    """The longest such wait."""
    address_failures_free: int = Field(default=50, ge=1, le=1_000_000)
    """Failed logins of an address, and refusals to a user, recorded one by one; more are counted, tokens get 429."""
    session_seconds: int = Field(default=12 * 3600, ge=300)
    """How long a browser stays signed in."""
    device_logins_per_address_max: int = Field(default=10, ge=1, le=100_000)
    """Logins on a device, by a provider, that may be under way from one address (IPv6: from one /64)."""
    device_logins_max: int = Field(default=1000, ge=1, le=100_000)
    """Such logins that may be under way in all."""


class LimitSettings(_Section):
    """How many requests each worker answers, of a user or, for all who are not signed in, of an address; its memory."""

    requests_per_user_per_second: int = Field(default=1000, ge=0)
    """Requests of one user a second, once the burst is used up; more get 429. 0: any number."""
    requests_per_user_burst: int = Field(default=10_000, ge=1)
    """Requests that one user may make at once."""
    requests_per_address_per_second: int = Field(default=1000, ge=0)
    """Requests of one address without credentials, or with wrong ones, a second; more get 429. 0: any number."""
    requests_per_address_burst: int = Field(default=10_000, ge=1)
    """Such requests that one address may make at once."""
    exempt_users: tuple[str, ...] = ()
    """Users who may make any number of requests, as `local:alice`, `robot:ci` or `corp:bob`."""
    exempt_networks: tuple[Network, ...] = ()
    """Networks (CIDR) from which any number of requests may come, whoever makes them."""
    cache_content_bytes: int = Field(default=48 * 1024 * 1024, ge=0)
    """What each worker remembers of manifests and blobs, roughly; what is not remembered takes a query."""

    @field_validator("exempt_users")
    @classmethod
    def _keys(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for user in value:
            if not all(user.partition(":")):
                raise ValueError(f"a user is written provider:name, as in local:alice; {user} is not")
        return value


class AuditSettings(_Section):
    """The audit log."""

    pulls: bool = True
    """Record pulls of manifests and blobs."""
    sign_every_seconds: int = Field(default=60, ge=1, le=24 * 3600)
    """How often the newest record is signed."""
    retention_days: int = Field(default=0, ge=0)
    """Days after which records leave the database, once archived to the blob store; 0: never."""
    segment_records: int = Field(default=100_000, ge=10)
    """How many records one archived segment holds."""
    syslog_url: str = ""
    """`tls://host:6514`, or `tcp://host:601` inside a trusted network: forward every record (RFC 5424)."""
    syslog_ca_file: Path | None = None
    """PEM file with the authority of the syslog server; empty: the system's."""
    http_url: str = ""
    """URL of a collector that gets every record as JSON lines, by POST."""
    http_ca_file: Path | None = None
    """PEM file with the authority of the collector; empty: the system's."""
    http_token: SecretStr = SecretStr("")
    """Bearer token for that collector."""


class LogSettings(_Section):
    """What is written to the standard output, one JSON object a line."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severity that is written."""
    access: bool = True
    """Write a line for each request."""


class _Provider(_Section):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    """What users, grants and logs call this provider; it cannot be changed later."""

    @field_validator("name")
    @classmethod
    def _free(cls, value: str) -> str:
        if value in PROVIDER_NAMES_RESERVED:
            raise ValueError(f"{value} is the registry's own")
        return value


class LDAPProvider(_Provider):
    """A directory: OpenLDAP, Active Directory and their like."""

    type: Literal["ldap"]
    """The kind of provider."""
    urls: tuple[str, ...] = Field(min_length=1)
    """Servers, `ldap://host` or `ldaps://host`, in the order in which they are tried."""
    directory: Literal["ldap", "active-directory"] = "ldap"
    """Sets the defaults of filters and attributes, and the rule for nested groups."""
    start_tls: bool = True
    """Encrypt `ldap://` connections by StartTLS."""
    verify_certificates: bool = True
    """Check the servers' certificates and names."""
    ca_file: Path | None = None
    """PEM file with the servers' authority; empty: the system's."""
    bind_dn: str = ""
    """Whom to search as; empty: bind as the user who signs in (`user_bind`)."""
    bind_password: SecretStr = SecretStr("")
    """The password of `bind_dn`."""
    bind_password_file: Path | None = None
    """A file with that password, instead."""
    user_bind: str = ""
    """What a user binds as without `bind_dn`, with the name for `{name}`: `{name}@example.test`, or a DN."""
    user_base: str
    """Where users are searched."""
    user_filter: str = ""
    """Finds the user, with the escaped name for `{name}`; empty: the directory's usual."""
    group_base: str = ""
    """Where groups are searched; empty: `user_base`."""
    group_filter: str = ""
    """Finds a user's groups, with the escaped DN for `{dn}`, the name for `{name}`; empty: the usual, also nested."""
    subject_attribute: str = ""
    """What identifies a user for good; empty: `entryUUID`, or `objectGUID`."""
    name_attribute: str = ""
    """The name to sign in with; empty: `uid`, or `sAMAccountName`."""
    display_name_attribute: str = "cn"
    """The name for people."""
    email_attribute: str = "mail"
    """The address."""
    group_name_attribute: str = "cn"
    """What groups are called in grants."""
    connections: int = Field(default=4, ge=1, le=64)
    """Connections kept for searching, of each worker."""
    timeout_seconds: int = Field(default=5, ge=1, le=60)
    """How long a server may take to connect or to answer, before the next one is tried."""
    refresh_seconds: int = Field(default=300, ge=1)
    """How old what is known of a user may be before it is asked for again, in the background."""

    @model_validator(mode="after")
    def _bindable(self) -> "LDAPProvider":
        if not self.bind_dn and "{name}" not in self.user_bind:
            raise ValueError("give bind_dn to search as, or user_bind with {name} in it to bind as the user")
        return self


class OIDCProvider(_Provider):
    """An OpenID Connect provider, for people (browser, device code) and for workloads (CI)."""

    type: Literal["oidc"]
    """The kind of provider."""
    issuer: str
    """The issuer's URL, as it is in its tokens."""
    client_id: str = ""
    """This registry's client there; empty: only workloads sign in by it (trust rules)."""
    client_secret: SecretStr = SecretStr("")
    """The client's secret; empty: a public client."""
    client_secret_file: Path | None = None
    """A file with that secret, instead."""
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    """What to ask for."""
    name_claim: str = "preferred_username"
    """The claim with the name to show; without it, `sub`."""
    groups_claim: str = "groups"
    """The claim with the names of groups."""
    sign_in_again_days: int = Field(default=30, ge=0)
    """Days after which somebody has to sign in by the provider again before tokens are taken; 0: never."""
    ca_file: Path | None = None
    """PEM file with the issuer's authority; empty: the system's."""


class KubernetesProvider(_Provider):
    """A cluster, whose service-account tokens are taken as passwords."""

    type: Literal["kubernetes"]
    """The kind of provider."""
    issuer: str
    """The cluster's service-account issuer, as it is in its tokens."""
    audience: str
    """What tokens must be made for."""
    jwks_url: str = ""
    """Where the issuer's keys are; empty: as the issuer's discovery document says."""
    jwks_file: Path | None = None
    """A file with the issuer's keys (JWKS), instead."""
    ca_file: Path | None = None
    """PEM file with the cluster's authority; empty: the system's."""
    token_file: Path | None = None
    """A file with a token to read the keys with, where the cluster asks for one."""


class CertificateProvider(_Provider):
    """Client certificates, checked by the proxy in front and once more here (RFC 9440, `Client-Cert`)."""

    type: Literal["certificate"]
    """The kind of provider."""
    ca_file: Path
    """PEM file with the authorities of clients."""
    name_from: Literal["common-name", "email", "dns", "uri"] = "common-name"
    """The part of the certificate that names the user."""
    sign_in_again_days: int = Field(default=30, ge=0)
    """Days after which somebody has to come with a certificate again before tokens are taken; 0: never."""


ProviderSettings = Annotated[
    LDAPProvider | OIDCProvider | KubernetesProvider | CertificateProvider, Field(discriminator="type")
]


class Settings(_Section):
    """All settings."""

    data: Path = Path("data")
    """The data directory: keys, and the database and blobs unless they are elsewhere."""
    server: ServerSettings = ServerSettings()
    database: DatabaseSettings = DatabaseSettings()
    storage: StorageSettings = StorageSettings()
    registry: RegistrySettings = RegistrySettings()
    token: TokenSettings = TokenSettings()
    login: LoginSettings = LoginSettings()
    limits: LimitSettings = LimitSettings()
    audit: AuditSettings = AuditSettings()
    providers: tuple[ProviderSettings, ...] = ()
    """Where users come from beside this registry's own, in the order in which they are asked: `[[providers]]`."""
    log: LogSettings = LogSettings()

    @property
    def keys_directory(self) -> Path:
        """The registry's own keys, and what is known outside of the database of how far the audit log is signed."""
        return self.data / "keys"


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
    names = [provider.name for provider in settings.providers]
    if len(set(names)) < len(names):
        raise SettingsInvalid("two providers have the same name: give each its own")
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


def documented_providers() -> Iterator[tuple[str, str, list[tuple[str, object, str]]]]:
    """Every type of provider: its name, what it is, and its keys with default (None: none) and meaning."""
    for provider in get_args(get_args(ProviderSettings)[0]):
        keys = [
            (key, None if field.is_required() else field.get_default(), field.description or "")
            for key, field in provider.model_fields.items()
            if key != "type"
        ]
        yield get_args(provider.model_fields["type"].annotation)[0], (provider.__doc__ or "").strip(), keys


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"{file}: {error}") from None


def _variable(dotted: str) -> str:
    return VARIABLE_PREFIX + dotted.replace(".", "_").upper()


def _from_variables(environment: Mapping[str, str], problems: list[str]) -> list[tuple[str, object]]:
    known = {variable: (dotted, default) for dotted, variable, default, _ in documented()}
    found: list[tuple[str, object]] = []
    for variable, value in environment.items():
        if not variable.startswith(VARIABLE_PREFIX) or variable in OTHER_VARIABLES:
            continue
        if variable in known:
            dotted, default = known[variable]
            found.append((dotted, _from_text(value, default)))
        elif not variable.startswith(TEST_VARIABLE_PREFIX):
            problems.append(f"{variable}: there is no such setting")
    return found


def _from_text(text: str, default: object) -> object:
    """Lists and tables are written in JSON, or as `value,value` and `key=value,key=value`."""
    if isinstance(default, tuple | dict) and text.lstrip().startswith(("[", "{")):
        try:
            return json.loads(text)
        except ValueError:
            return text  # Which validation refuses.
    if isinstance(default, dict):
        return _options(text)
    if isinstance(default, tuple):
        return [item.strip() for item in text.split(",") if item.strip()]
    return text


def _options(text: str) -> dict[str, str]:
    return {key.strip(): value for key, _, value in (item.partition("=") for item in text.split(",") if item)}


def _put(tree: dict[str, Any], dotted: str, value: object) -> None:
    *sections, last = dotted.split(".")
    for section in sections:
        table = tree.setdefault(section, {})
        if not isinstance(table, dict):
            return  # The file has something else there, which validation will say.
        tree = table
    tree[last] = value
