"""OpenLDAP on free ports of 127.0.0.1: StartTLS, LDAPS, a service account, a password policy."""

import secrets
import socket
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.peers.certificate import Certificate
from tests.peers.ldif import Changes, Values
from tests.peers.presence import cannot_run, require_program
from tests.peers.process import Server, free_port

BASE = "dc=example,dc=test"
MODULES = Path("/usr/lib/ldap")
SCHEMAS = Path("/etc/ldap/schema")
PACKAGE = "Debian package slapd"
FAILURES_MAX = 3
LOCKED_BY_ADMINISTRATOR = "000001010000Z"


class OpenLDAP:
    """One server. Users are below `user_base`, groups below `group_base`; nobody reads anything without a bind."""

    base = BASE
    user_base = f"ou=people,{BASE}"
    group_base = f"ou=groups,{BASE}"
    bind_dn = f"cn=registry,{BASE}"

    def __init__(self, directory: Path, certificate: Certificate) -> None:
        self.directory = directory
        self.certificate = certificate
        self.bind_password = secrets.token_urlsafe(12)
        self.port = free_port()
        self.tls_port = free_port()
        self.log_path = directory / "slapd.log"
        self._root_password = secrets.token_urlsafe(12)
        self.server = Server(self._command(), log_path=self.log_path)
        self.changes = Changes(self.url, dn=f"cn=root,{BASE}", password=self._root_password)

    @property
    def url(self) -> str:
        return f"ldap://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        return f"ldaps://127.0.0.1:{self.tls_port}"

    @property
    def misnamed_urls(self) -> tuple[str, str]:
        """The same two by an address that is not in the certificate."""
        return f"ldap://127.0.0.2:{self.port}", f"ldaps://127.0.0.2:{self.tls_port}"

    @property
    def ca_file(self) -> Path:
        return self.certificate.certificate

    def user_dn(self, name: str) -> str:
        """For names without special characters."""
        return f"uid={name},{self.user_base}"

    def group_dn(self, name: str) -> str:
        """For names without special characters."""
        return f"cn={name},{self.group_base}"

    def add_user(self, name: str, password: str, *, dn: str | None = None, **attributes: Values) -> str:
        """Its DN."""
        dn = dn or self.user_dn(name)
        usual = {"uid": name, "cn": name.title(), "sn": name, "mail": f"{name}@example.test", "userPassword": password}
        self.changes.add(dn, {"objectClass": ["inetOrgPerson", "shadowAccount"], **usual, **attributes})
        return dn

    def add_group(self, name: str, members: Sequence[str], *, unique: bool = False) -> str:
        """A group of DNs, as groupOfNames or groupOfUniqueNames; its DN."""
        kind, attribute = ("groupOfUniqueNames", "uniqueMember") if unique else ("groupOfNames", "member")
        self.changes.add(self.group_dn(name), {"objectClass": kind, "cn": name, attribute: members})
        return self.group_dn(name)

    def add_posix_group(self, name: str, members: Sequence[str], *, number: int) -> str:
        """A group of names; its DN."""
        attributes = {"objectClass": "posixGroup", "cn": name, "gidNumber": str(number), "memberUid": members}
        self.changes.add(self.group_dn(name), attributes)
        return self.group_dn(name)

    def disable(self, name: str) -> None:
        """Locked by an administrator, by the password policy."""
        self.changes.replace(self.user_dn(name), {"pwdAccountLockedTime": LOCKED_BY_ADMINISTRATOR})

    def remove(self, dn: str) -> None:
        self.changes.remove(dn)

    def start(self) -> None:
        """Start it; the first time with its base, and nobody but the service account."""
        fresh = not self._data.exists()
        if fresh:
            self._data.mkdir()
            self._configuration.write_text(self._settings())
        self.server.start(self._answers)
        if fresh:
            self._fill()

    def stop(self) -> None:
        if self.server.started:
            self.server.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    @property
    def _configuration(self) -> Path:
        return self.directory / "slapd.conf"

    def _command(self) -> list[str | Path]:
        program = require_program("slapd", package="slapd")
        if not (MODULES / "back_mdb.so").exists():
            cannot_run(f"slapd has no modules in {MODULES}", provided_by=PACKAGE)
        urls = " ".join((self.url, self.tls_url, *self.misnamed_urls))
        return [program, "-d", "0", "-f", self._configuration, "-h", urls]

    def _settings(self) -> str:
        schemas = "\n".join(f"include {SCHEMAS}/{name}.schema" for name in ("core", "cosine", "inetorgperson", "nis"))
        return f"""{schemas}
modulepath {MODULES}
moduleload back_mdb
moduleload ppolicy
TLSCertificateFile {self.certificate.certificate}
TLSCertificateKeyFile {self.certificate.key}
database mdb
suffix {BASE}
rootdn cn=root,{BASE}
rootpw {self._root_password}
directory {self._data}
dbnosync
index objectClass,uid,member,uniqueMember,memberUid,entryUUID eq
overlay ppolicy
ppolicy_default cn=policy,{BASE}
access to attrs=userPassword by anonymous auth by * none
access to * by users read by * none
"""

    def _fill(self) -> None:
        self.changes.add(BASE, {"objectClass": ["dcObject", "organization"], "dc": "example", "o": "Example"})
        for unit in ("people", "groups"):
            self.changes.add(f"ou={unit},{BASE}", {"objectClass": "organizationalUnit", "ou": unit})
        service = {"objectClass": ["organizationalRole", "simpleSecurityObject"], "cn": "registry"}
        self.changes.add(self.bind_dn, {**service, "userPassword": self.bind_password})
        policy = {"pwdAttribute": "userPassword", "pwdLockout": "TRUE", "pwdMaxFailure": str(FAILURES_MAX)}
        must_change = {"pwdMustChange": "TRUE", "pwdLockoutDuration": "3600"}
        kind = {"objectClass": ["organizationalRole", "pwdPolicy"], "cn": "policy"}
        self.changes.add(f"cn=policy,{BASE}", {**kind, **policy, **must_change})

    def _answers(self) -> bool:
        try:
            for port in (self.port, self.tls_port):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True
