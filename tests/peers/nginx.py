"""nginx in front of a registry."""

from pathlib import Path

from tests.peers.presence import require_program
from tests.peers.proxy import Proxy

TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class ConfiguredNginx(Proxy):
    """With any configuration that listens on `host`; its files are in `directory`."""

    def __init__(self, directory: Path, host: str, text: str) -> None:
        configuration = directory / "nginx.conf"
        paths = "".join(f"    {name}_temp_path {directory / name};\n" for name in TEMPORARY)
        configuration.write_text(text.replace("http {\n", f"http {{\n    access_log off;\n{paths}", 1))
        program = require_program("nginx", package="nginx-light")
        here = f"daemon off; pid {directory / 'nginx.pid'};"
        command = [program, "-c", configuration, "-p", directory, "-e", "stderr", "-g", here]
        super().__init__(host, command, directory / "nginx.log")
