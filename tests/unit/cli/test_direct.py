"""Who is recorded for a command on the data directory."""

import os
import pwd

import pytest

from entrepot.cli import credentials
from entrepot.cli.direct import operator_name
from entrepot.cli.errors import CredentialsUnreadable

NAMELESS_UID = 4_000_000_019


def test_operator_is_who_the_kernel_says_and_not_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME", "SUDO_USER"):
        monkeypatch.setenv(variable, "somebody-else")
    assert operator_name() == pwd.getpwuid(os.getuid()).pw_name


def test_operator_whose_number_has_no_name_is_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: NAMELESS_UID)
    monkeypatch.setenv("LOGNAME", "somebody-else")
    assert operator_name() == f"uid-{NAMELESS_UID}"


def test_where_there_is_no_home_it_is_said_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: NAMELESS_UID)
    for variable in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(CredentialsUnreadable, match="HOME"):
        credentials.path()
    monkeypatch.setenv("XDG_CONFIG_HOME", "/somewhere")
    assert str(credentials.path()) == "/somewhere/entrepot/credentials.json"
