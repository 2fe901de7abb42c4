"""The settings, one frozen tree from defaults, a TOML file and ENTREPOT_… variables. Code gets values, not the tree.

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
    """Number of worker processes; 0: one for each processor, four at most."""
    pin_workers: bool = True
    """Pin each worker to its own processor, except for hashing and writing blobs (Linux)."""
    external_url: str = ""
    """The URL that clients use, for the token service's address behind a proxy; empty: taken from each request."""
    trusted_proxies: tuple[Network, ...] = ()
    """Networks (CIDR) of proxies whose `X-Forwarded-*`, `Forwarded` and `Client-Cert` headers are trusted."""
    allowed_origins: tuple[str, ...] = ()
    """Origins (`https://ui.example.test`) whose pages may call the registry with a token or password they have."""
    public_metrics: bool = False
    """Let everyone read `/metrics`, not only users with `metrics:read`."""
    public_api_document: bool = False
    """Let everyone read `/api/v1/openapi.json`, not only users who are signed in."""
    tls_cert: Path | None = None
    """PEM file with the certificate and its chain. Replaced files take effect without a restart."""
    tls_key: Path | None = None
    """PEM file with the certificate's key (PKCS#8)."""
    drain_seconds: int = Field(default=30, ge=1, le=3600)
    """How long running requests may take to finish after SIGTERM. Uploads cut off then can be resumed."""
    shutdown_delay_seconds: int = Field(default=0, ge=0, le=600)
    """How long to accept connections after SIGTERM while `/readyz` returns 503, so that load balancers notice."""
    header_timeout_seconds: int = Field(default=30, ge=1, le=60)
    """How long a client may take to send a request's headers; on a new connection, counted from its start."""
    body_idle_seconds: int = Field(default=300, ge=1, le=3600)
    """How long a client may pause while it sends a body. An upload refused for this can be resumed."""
    body_bytes_per_second_min: int = Field(default=1024, ge=0)
    """Slowest average rate of sending a body or reading a response, checked once `body_idle_seconds` have passed."""
    answer_idle_seconds: int = Field(default=120, ge=1, le=3600)
    """How long a client may read nothing of a response, or keep an HTTP/2 connection without a request (Linux)."""
    connections_per_address: int = Field(default=512, ge=0)
    """Most connections, and concurrent HTTP/2 requests, per address, over all workers; not for proxies; 0: no limit."""

    @field_validator("external_url")
    @classmethod
    def _at_the_root(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in {"http", "https"} or not parts.netloc):
            raise ValueError("write it as https://host or http://host")
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError(
                "remove the path: clients look for /v2/ at the root, so a registry needs its own host name"
            )
        return value

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin!r} is not an origin: write it as browsers do, such as https://ui.example.test"
                )
        return value


class DatabaseSettings(_Section):
    """Where names, links and users are kept."""

    url: str = ""
    """`sqlite:////path/to/file` or `postgresql://user:password@host/name`; empty: SQLite in the data directory."""
    connections: int = Field(default=8, ge=2, le=100)
    """Connections to PostgreSQL per worker, and for the maintenance process. Each also has one that listens."""
    statement_seconds: int = Field(default=30, ge=1, le=3600)
    """How long one PostgreSQL statement may take, and how long to wait for a silent connection."""


class StorageSettings(_Section):
    """Where the bytes of blobs are kept."""

    url: str = ""
    """`file:///path`, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container`; empty: the data directory."""
    redirect: bool = True
    """Redirect clients to the object store by presigned URLs; false: send blobs through the registry."""
    small_blob_bytes_max: int = Field(default=16 * 1024, ge=0, le=128 * 1024)
    """Blobs up to this size are kept in the database, which saves some work for each; 0: only empty blobs."""
    connect_seconds: int = Field(default=5, ge=1, le=300)
    """How long connecting to the object store may take."""
    call_seconds: int = Field(default=20, ge=1, le=300)
    """How long the object store may take, with retries, to look up, sign, delete or list (one page of) objects."""
    idle_seconds: int = Field(default=30, ge=1, le=3600)
    """How long the object store may pause while it sends a blob, or during an upload before it is probed."""
    piece_seconds: int = Field(default=300, ge=1, le=3600)
    """How long a responding object store may take for a piece (8 MiB) of an upload; four are sent at once."""
    options: dict[str, str] = Field(default_factory=dict)
    """Options of the object store: endpoint, region, access_key_id, secret_access_key, allow_http…"""


class RegistrySettings(_Section):
    """What the registry accepts."""

    blob_bytes_max: int = Field(default=64 * 1024**3, ge=1024)
    """The largest blob that the registry accepts, in bytes."""
    allow_sparse_manifests: bool = False
    """Accept manifests whose blobs or children are not in the repository."""
    upload_expiry_seconds: int = Field(default=7 * 24 * 3600, ge=60)
    """How long an unfinished upload can be resumed after its last byte."""
    uploads_per_user_max: int = Field(default=1000, ge=1)
    """Unfinished uploads that one user may have at a time."""
    garbage_grace_seconds: int = Field(default=24 * 3600, ge=60)
    """How old unreferenced stored bytes must be before they are listed as garbage."""
    garbage_keep_days: int = Field(default=7, ge=0)
    """How long garbage is kept aside before it is removed permanently."""


class TokenSettings(_Section):
    """The token service of the Docker protocol."""

    lifetime_seconds: int = Field(default=300, ge=60, le=3600)
    """How long a bearer token is valid."""
    refresh_lifetime_seconds: int = Field(default=30 * 24 * 3600, ge=3600)
    """How long a refresh token (`offline_token`, `access_type=offline`) stays valid after its last use."""


class LoginSettings(_Section):
    """Signing in with a password, and browser sessions."""

    password_characters_min: int = Field(default=12, ge=8, le=128)
    """The minimum length of a local user's password."""
    failures_free: int = Field(default=5, ge=1, le=1_000_000)
    """Wrong passwords that are free. After them, each attempt must wait twice as long as the one before."""
    delay_seconds_max: int = Field(default=900, ge=1, le=24 * 3600)
    """The longest wait after wrong passwords."""
    address_failures_free: int = Field(default=50, ge=1, le=1_000_000)
    """Failures per address or user that are recorded one by one. More are only counted, and tokens get 429."""
    session_seconds: int = Field(default=12 * 3600, ge=300)
    """How long a browser stays signed in."""
    device_logins_per_address_max: int = Field(default=10, ge=1, le=100_000)
    """Most device logins (browser code, through a provider) in progress from one address (IPv6: one /64)."""
    device_logins_max: int = Field(default=1000, ge=1, le=100_000)
    """Most device logins in progress in total."""


class LimitSettings(_Section):
    """Request rates, per worker, of each user or, without signing in, of each address; and the memory of caches."""

    requests_per_user_per_second: int = Field(default=1000, ge=0)
    """Requests per second of one user after the burst. More get 429; 0: no limit."""
    requests_per_user_burst: int = Field(default=10_000, ge=1)
    """Requests that one user may make in a burst."""
    requests_per_address_per_second: int = Field(default=1000, ge=0)
    """Requests per second of one address without valid credentials, after the burst. More get 429; 0: no limit."""
    requests_per_address_burst: int = Field(default=10_000, ge=1)
    """Requests without valid credentials that one address may make in a burst."""
    exempt_users: tuple[str, ...] = ()
    """Users without a request limit, such as `local:alice`, `robot:ci` or `corp:bob`."""
    exempt_networks: tuple[Network, ...] = ()
    """Networks (CIDR) from which requests are not limited, whoever makes them."""
    cache_content_bytes: int = Field(default=48 * 1024 * 1024, ge=0)
    """Approximate memory of each worker for cached manifests and blobs. What is not cached takes a query."""

    @field_validator("exempt_users")
    @classmethod
    def _keys(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for user in value:
            if not all(user.partition(":")):
                raise ValueError(f"{user} is not a user: write provider:name, such as local:alice")
        return value


class AuditSettings(_Section):
    """The audit log."""

    pulls: bool = True
    """Record pulls of manifests and blobs."""
    sign_every_seconds: int = Field(default=60, ge=1, le=24 * 3600)
    """How often the newest record is signed."""
    retention_days: int = Field(default=0, ge=0)
    """Days after which records are removed from the database, once archived to the blob store; 0: never."""
    segment_records: int = Field(default=100_000, ge=10)
    """How many records one archived segment holds."""
    syslog_url: str = ""
    """Forward every record to this syslog server (RFC 5424): `tls://host:6514`, or `tcp://host:601` if trusted."""
    syslog_ca_file: Path | None = None
    """PEM file with the authority of the syslog server's certificate; empty: the system's authorities."""
    http_url: str = ""
    """URL of a collector. Every record is sent to it by POST, as JSON lines."""
    http_ca_file: Path | None = None
    """PEM file with the authority of the collector's certificate; empty: the system's authorities."""
    http_token: SecretStr = SecretStr("")
    """Bearer token for the collector."""


class LogSettings(_Section):
    """What is written to standard output, one JSON object per line."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The lowest severity that is written."""
    access: bool = True
    """Write a line for each request."""


class _Provider(_Section):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    """The provider's name in users, grants and logs. It cannot be changed later."""

    @field_validator("name")
    @classmethod
    def _free(cls, value: str) -> str:
        if value in PROVIDER_NAMES_RESERVED:
            raise ValueError(f"{value} is reserved: choose another name")
        return value


class LDAPProvider(_Provider):
    """An LDAP directory, such as OpenLDAP or Active Directory."""

    type: Literal["ldap"]
    """The kind of provider."""
    urls: tuple[str, ...] = Field(min_length=1)
    """Servers, `ldap://host` or `ldaps://host`, in the order to try them."""
    directory: Literal["ldap", "active-directory"] = "ldap"
    """The kind of directory. It sets the defaults of filters and attributes, and how nested groups are found."""
    start_tls: bool = True
    """Encrypt `ldap://` connections with StartTLS."""
    verify_certificates: bool = True
    """Verify the servers' certificates and host names."""
    ca_file: Path | None = None
    """PEM file with the authority of the servers' certificates; empty: the system's authorities."""
    bind_dn: str = ""
    """The DN to search as; empty: bind as the user who signs in (`user_bind`)."""
    bind_password: SecretStr = SecretStr("")
    """The password of `bind_dn`."""
    bind_password_file: Path | None = None
    """A file with the password of `bind_dn`, instead of `bind_password`."""
    user_bind: str = ""
    """Without `bind_dn`: what users bind as, `{name}@example.test` or a DN. `{name}` is the user's name."""
    user_base: str
    """The base DN of the search for users."""
    user_filter: str = ""
    """The filter that finds a user; `{name}` is the escaped name; empty: the directory's usual filter."""
    group_base: str = ""
    """The base DN of the search for groups; empty: `user_base`."""
    group_filter: str = ""
    """The filter that finds a user's groups; `{dn}` and `{name}` are escaped; empty: the usual one, also nested."""
    subject_attribute: str = ""
    """The attribute that identifies a user permanently; empty: `entryUUID`, or `objectGUID`."""
    name_attribute: str = ""
    """The attribute with the name to sign in with; empty: `uid`, or `sAMAccountName`."""
    display_name_attribute: str = "cn"
    """The attribute with the name to show to people."""
    email_attribute: str = "mail"
    """The attribute with the e-mail address."""
    group_name_attribute: str = "cn"
    """The attribute with the name of a group in grants."""
    connections: int = Field(default=4, ge=1, le=64)
    """Connections that each worker keeps open for searches."""
    timeout_seconds: int = Field(default=5, ge=1, le=60)
    """How long a server may take to connect or to respond before the next one is tried."""
    refresh_seconds: int = Field(default=300, ge=1)
    """How long a user's data is used before it is fetched again in the background."""

    @model_validator(mode="after")
    def _bindable(self) -> "LDAPProvider":
        if not self.bind_dn and "{name}" not in self.user_bind:
            raise ValueError("set bind_dn to search as, or user_bind with {name} in it to bind as the user")
        return self


class OIDCProvider(_Provider):
    """An OpenID Connect provider, for people (browser, device code) and for workloads (CI)."""

    type: Literal["oidc"]
    """The kind of provider."""
    issuer: str
    """The issuer's URL, as it appears in its tokens."""
    client_id: str = ""
    """The registry's client id at the provider; empty: only workloads sign in with it (trust rules)."""
    client_secret: SecretStr = SecretStr("")
    """The client's secret; empty: it is a public client."""
    client_secret_file: Path | None = None
    """A file with the client's secret, instead of `client_secret`."""
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    """The scopes to request."""
    name_claim: str = "preferred_username"
    """The claim with the user's name; `sub` if it is missing."""
    groups_claim: str = "groups"
    """The claim with the names of the user's groups."""
    sign_in_again_days: int = Field(default=30, ge=0)
    """Days after which users must sign in with the provider again for their tokens to work; 0: never."""
    ca_file: Path | None = None
    """PEM file with the authority of the issuer's certificate; empty: the system's authorities."""


class KubernetesProvider(_Provider):
    """A Kubernetes cluster whose service-account tokens are accepted as passwords."""

    type: Literal["kubernetes"]
    """The kind of provider."""
    issuer: str
    """The cluster's service-account issuer, as it appears in its tokens."""
    audience: str
    """The audience that tokens must be issued for."""
    jwks_url: str = ""
    """The URL of the issuer's keys; empty: taken from the issuer's discovery document."""
    jwks_file: Path | None = None
    """A file with the issuer's keys (JWKS), instead of a URL."""
    ca_file: Path | None = None
    """PEM file with the authority of the cluster's certificate; empty: the system's authorities."""
    token_file: Path | None = None
    """A file with a token for reading the keys, if the cluster requires one."""


class CertificateProvider(_Provider):
    """Client certificates, verified by the proxy in front and again by the registry (RFC 9440, `Client-Cert`)."""

    type: Literal["certificate"]
    """The kind of provider."""
    ca_file: Path
    """PEM file with the authorities of client certificates."""
    name_from: Literal["common-name", "email", "dns", "uri"] = "common-name"
    """The part of the certificate that names the user."""
    sign_in_again_days: int = Field(default=30, ge=0)
    """Days after which users must show a certificate again for their tokens to work; 0: never."""


ProviderSettings = Annotated[
    LDAPProvider | OIDCProvider | KubernetesProvider | CertificateProvider, Field(discriminator="type")
]


class Settings(_Section):
    """All settings."""

    data: Path = Path("data")
    """The data directory, with the keys, and with the database and blobs unless they are elsewhere."""
    server: ServerSettings = ServerSettings()
    database: DatabaseSettings = DatabaseSettings()
    storage: StorageSettings = StorageSettings()
    registry: RegistrySettings = RegistrySettings()
    token: TokenSettings = TokenSettings()
    login: LoginSettings = LoginSettings()
    limits: LimitSettings = LimitSettings()
    audit: AuditSettings = AuditSettings()
    providers: tuple[ProviderSettings, ...] = ()
    """Providers of users besides the registry itself, in the order in which they are asked: `[[providers]]`."""
    log: LogSettings = LogSettings()

    @property
    def keys_directory(self) -> Path:
        """The registry's own keys, and the record outside the database of how far the audit log is signed."""
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
    """Every type of provider: its name, its description, and its keys with default (None: required) and meaning."""
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
    """Parse a variable. Lists and tables are JSON, or `value,value` and `key=value,key=value`."""
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
