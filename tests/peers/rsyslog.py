"""rsyslog as a receiver over TLS or TCP on a free port of 127.0.0.1; it writes each message it gets to a file."""

import socket
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.peers.certificate import Certificate
from tests.peers.presence import cannot_run, require_program
from tests.peers.process import Server, free_port

PACKAGE = "rsyslog"
TLS_PACKAGE = "rsyslog-gnutls"
MODULES = ("/usr/lib/x86_64-linux-gnu/rsyslog", "/usr/lib/aarch64-linux-gnu/rsyslog", "/usr/lib/rsyslog")

CONFIGURATION = """
global(workDirectory="{directory}" maxMessageSize="64k"{tls_files})
module(load="imtcp" {stream})
input(type="imtcp" port="{port}" address="127.0.0.1" ruleset="received")
template(name="whole" type="string" string="%rawmsg%\\n")
template(name="parsed" type="string"
    string="%pri%\\t%timestamp:::date-rfc3339%\\t%hostname%\\t%app-name%\\t%msgid%\\t%msg%\\n")
ruleset(name="received") {{
    action(type="omfile" file="{directory}/whole" template="whole")
    action(type="omfile" file="{directory}/parsed" template="parsed")
}}
"""


class Rsyslog:
    """One receiver. With a certificate it speaks TLS and nothing else."""

    def __init__(self, directory: Path, certificate: Certificate | None = None) -> None:
        program = require_program("rsyslogd", package=PACKAGE)
        if certificate is not None and not any(Path(folder, "lmnsd_gtls.so").exists() for folder in MODULES):
            cannot_run("rsyslog cannot speak TLS", provided_by=f"Debian package {TLS_PACKAGE}")
        self.directory = directory
        self.port = free_port()
        self.log_path = directory / "rsyslog.log"
        self._certificate = certificate
        configuration = directory / "rsyslog.conf"
        configuration.write_text(self._configuration())
        command = [program, "-n", "-f", configuration, "-i", directory / "rsyslog.pid"]
        self.server = Server([str(part) for part in command], log_path=self.log_path)

    @property
    def url(self) -> str:
        return f"{'tls' if self._certificate else 'tcp'}://127.0.0.1:{self.port}"

    def messages(self) -> list[str]:
        """What it got, as it was sent."""
        return self._lines("whole")

    def parsed(self) -> list[list[str]]:
        """What it got, as it understands it: priority, time, host, application, message id, message."""
        return [line.split("\t") for line in self._lines("parsed")]

    def start(self) -> None:
        self.server.start(self._listens)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.server.started:
            self.server.stop()

    def _lines(self, name: str) -> list[str]:
        path = self.directory / name
        return path.read_text().split("\n")[:-1] if path.exists() else []

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _configuration(self) -> str:
        stream, tls_files = "", ""
        if self._certificate is not None:
            certificate, key = self._certificate.certificate, self._certificate.key
            tls_files = (
                f' defaultNetstreamDriverCAFile="{certificate}" defaultNetstreamDriverCertFile="{certificate}"'
                f' defaultNetstreamDriverKeyFile="{key}"'
            )
            stream = 'streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon"'
        return CONFIGURATION.format(directory=self.directory, port=self.port, stream=stream, tls_files=tls_files)
