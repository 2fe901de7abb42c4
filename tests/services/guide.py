"""The examples of the guides, with what a test has in the place of the reader's."""

import re
from pathlib import Path

from entrepot.settings import LDAPProvider, load
from tests.peers.presence import REPOSITORY

GUIDES = REPOSITORY / "docs/guide"


def code(guide: str, heading: str, language: str) -> str:
    """The first example in this language below a heading of a guide."""
    section = (GUIDES / guide).read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    text = section.partition(f"```{language}\n")[2].partition("```")[0]
    assert text, f"{guide} has no {language} below {heading}"
    return text


def replaced(text: str, *replacements: tuple[str, str]) -> str:
    """The text with each of these, which are all there, replaced."""
    for old, new in replacements:
        assert old in text, f"the example has no {old}"
        text = text.replace(old, new)
    return text


def example(heading: str, url: str, ca_file: Path, bind_password: str, directory: Path) -> LDAPProvider:
    """The provider below a heading; its hosts, its authority and the file with its password are replaced."""
    text = code("directories.md", heading, "toml")
    secret = directory / "password"
    secret.write_text(bind_password)
    text = re.sub(r"^urls = .*$", f'urls = ["{url}"]', text, flags=re.MULTILINE)
    text = text.replace("/etc/entrepot/corp-ca.pem", str(ca_file)).replace("/etc/entrepot/corp-password", str(secret))
    file = directory / "entrepot.toml"
    file.write_text(text)
    (provider,) = load(file, variables={}).providers
    assert isinstance(provider, LDAPProvider)
    return provider
