"""An Active Directory domain controller: Samba, on 127.0.0.1.

Its ports cannot be chosen, so there is one at a time on a machine; it is provisioned afresh, which takes a while.
"""

import secrets
import shutil
import socket
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import IntFlag
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.peers.certificate import Certificate
from tests.peers.ldif import Changes, Values
from tests.peers.presence import cannot_run, require_program, require_root
from tests.peers.process import Server, run

REALM = "EXAMPLE.TEST"
DOMAIN = "EXAMPLE"
BASE = "DC=example,DC=test"
PORT, TLS_PORT = 389, 636
PORTS = (PORT, TLS_PORT)
SERVICES = "ldap,kdc,drepl,winbindd,ntp_signd"
READY_SECONDS_MAX = 120
EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
SECURITY_GLOBAL_GROUP = -2147483646
MAIL_GLOBAL_GROUP = 2
TRIES_BEFORE_LOCK = 3


class Account(IntFlag):
    """Bits of userAccountControl."""

    DISABLED = 0x2
    NORMAL = 0x200


class ActiveDirectory:
    """One domain. Users are below `user_base`, groups below `group_base`."""

    realm = REALM
    domain = DOMAIN
    base = BASE
    user_base = f"OU=People,{BASE}"
    group_base = f"OU=Groups,{BASE}"
    bind_dn = f"CN=registry,CN=Users,{BASE}"
    url = f"ldap://127.0.0.1:{PORT}"
    tls_url = f"ldaps://127.0.0.1:{TLS_PORT}"

    def __init__(self, directory: Path, certificate: Certificate) -> None:
        require_root("a domain controller on its ports")
        self.directory = directory
        self.certificate = certificate
        self.bind_password = _password()
        self.log_path = directory / "samba.log"
        self._tool = require_program("samba-tool", package="samba")
        program = require_program("samba", package="samba-ad-dc")
        require_program("winbindd", package="winbind")
        self._administrator_password = _password()
        options = ["-i", "-s", self._domain_directory / "etc/smb.conf", f"--option=server services={SERVICES}"]
        self.server = Server([program, *options], log_path=self.log_path)
        self.changes = Changes(
            self.tls_url,
            dn=f"CN=Administrator,CN=Users,{BASE}",
            password=self._administrator_password,
            ca_file=self.ca_file,
        )

    @property
    def ca_file(self) -> Path:
        return self.certificate.certificate

    def user_dn(self, name: str) -> str:
        """For names without special characters."""
        return f"CN={name},{self.user_base}"

    def group_dn(self, name: str) -> str:
        """For names without special characters."""
        return f"CN={name},{self.group_base}"

    def add_user(self, name: str, password: str, *, dn: str | None = None, **attributes: Values) -> str:
        """Its DN. Passwords have to please a policy: seven characters of three kinds."""
        dn = dn or self.user_dn(name)
        usual = {
            "objectClass": "user",
            "sAMAccountName": name,
            "userPrincipalName": f"{name}@{REALM.lower()}",
            "mail": f"{name}@{REALM.lower()}",
            "unicodePwd": f'"{password}"'.encode("utf-16-le"),
            "userAccountControl": str(int(Account.NORMAL)),
        }
        self.changes.add(dn, {**usual, **attributes})
        return dn

    def add_group(self, name: str, members: Sequence[str] = (), *, mail_only: bool = False) -> str:
        """A security group, or one for mail alone; its DN."""
        kind = MAIL_GLOBAL_GROUP if mail_only else SECURITY_GLOBAL_GROUP
        attributes: dict[str, Values] = {"objectClass": "group", "sAMAccountName": name, "groupType": str(kind)}
        if members:
            attributes["member"] = members
        self.changes.add(self.group_dn(name), attributes)
        return self.group_dn(name)

    def disable(self, name: str) -> None:
        control = str(int(Account.NORMAL | Account.DISABLED))
        self.changes.replace(self.user_dn(name), {"userAccountControl": control})

    def expire(self, name: str) -> None:
        """The account has expired yesterday."""
        ticks = int((datetime.now(UTC) - timedelta(days=1) - EPOCH).total_seconds()) * 10_000_000
        self.changes.replace(self.user_dn(name), {"accountExpires": str(ticks)})

    def demand_new_password(self, name: str) -> None:
        self.changes.replace(self.user_dn(name), {"pwdLastSet": "0"})

    def remove(self, dn: str) -> None:
        self.changes.remove(dn)

    def start(self) -> None:
        """Make the domain and start it."""
        for port in PORTS:
            if _answers(port):
                cannot_run(f"port {port} of 127.0.0.1 is taken", provided_by="stopping what listens there")
        self._provision()
        self.server.start(lambda: all(map(_answers, PORTS)), seconds_max=READY_SECONDS_MAX)
        for unit in ("People", "Groups"):
            self.changes.add(f"OU={unit},{BASE}", {"objectClass": "organizationalUnit"})
        self.add_user("registry", self.bind_password, dn=self.bind_dn)

    def stop(self) -> None:
        """By SIGKILL: nothing of it is kept, and its processes end one after the other."""
        if self.server.started:
            self.server.kill()
        shutil.rmtree(self._domain_directory, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _domain_directory(self) -> Path:
        return self.directory / "domain"

    def _provision(self) -> None:
        settings = {
            "interfaces": "lo",
            "bind interfaces only": "yes",
            "tls certfile": self.certificate.certificate,
            "tls keyfile": self.certificate.key,
            "tls cafile": self.certificate.certificate,
        }
        run(
            [
                self._tool,
                "domain",
                "provision",
                f"--realm={REALM}",
                f"--domain={DOMAIN}",
                "--server-role=dc",
                "--dns-backend=NONE",
                f"--adminpass={self._administrator_password}",
                f"--targetdir={self._domain_directory}",
                *(f"--option={name}={value}" for name, value in settings.items()),
            ]
        )
        policy = [f"--account-lockout-threshold={TRIES_BEFORE_LOCK}", "--min-pwd-age=0"]
        database = f"--URL={self._domain_directory / 'private/sam.ldb'}"
        configuration = f"--configfile={self._domain_directory / 'etc/smb.conf'}"
        run([self._tool, "domain", "passwordsettings", "set", *policy, database, configuration])


def _password() -> str:
    return f"Aa1-{secrets.token_urlsafe(12)}"


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
