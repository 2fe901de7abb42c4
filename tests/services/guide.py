"""The examples of the guide to directories, with a server of the tests in the place of the reader's."""

import re
from pathlib import Path

from entrepot.settings import LDAPProvider, load
from tests.peers.presence import REPOSITORY

GUIDE = REPOSITORY / "docs/guide/directories.md"


def example(heading: str, url: str, ca_file: Path, bind_password: str, directory: Path) -> LDAPProvider:
    """The provider below a heading; its hosts, its authority and the file with its password are replaced."""
    section = GUIDE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    text = section.partition("```toml\n")[2].partition("```")[0]
    secret = directory / "password"
    secret.write_text(bind_password)
    text = re.sub(r"^urls = .*$", f'urls = ["{url}"]', text, flags=re.MULTILINE)
    text = text.replace("/etc/entrepot/corp-ca.pem", str(ca_file)).replace("/etc/entrepot/corp-password", str(secret))
    file = directory / "entrepot.toml"
    file.write_text(text)
    (provider,) = load(file, variables={}).providers
    assert isinstance(provider, LDAPProvider)
    return provider
