"""Where a user is signed in is kept for that user alone, and whole."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from stat import S_IMODE

import pytest

from entrepot.cli import credentials, remote
from entrepot.cli.credentials import Login
from entrepot.cli.errors import CredentialsUnreadable, NotSignedIn
from entrepot.errors import Invalid

HERE, THERE = "https://here.example", "https://there.example"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in (remote.URL_VARIABLE, remote.TOKEN_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def sign_in(url: str, token: str = "secret") -> None:
    with credentials.changing() as logins:
        logins.registries[url] = Login("local:alice", token)
        logins.current = url


def test_credentials_are_read_as_they_were_written() -> None:
    sign_in(HERE)

    logins = credentials.read()
    assert logins.current == HERE
    assert logins.registries == {HERE: Login("local:alice", "secret")}


def test_credentials_are_for_nobody_else_to_read(home: Path) -> None:
    sign_in(HERE)

    assert S_IMODE((home / "entrepot").stat().st_mode) == 0o700
    assert S_IMODE((home / "entrepot/credentials.json").stat().st_mode) == 0o600
    assert sorted(path.name for path in (home / "entrepot").iterdir()) == ["credentials.json", "credentials.lock"]


def test_file_that_others_could_read_is_so_no_more_when_written_again(home: Path) -> None:
    sign_in(HERE)
    (home / "entrepot/credentials.json").chmod(0o644)
    sign_in(THERE)

    assert S_IMODE((home / "entrepot/credentials.json").stat().st_mode) == 0o600


def test_sign_ins_at_once_are_all_kept() -> None:
    urls = [f"https://{number}.example" for number in range(20)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(sign_in, urls))

    assert sorted(credentials.read().registries) == sorted(urls)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"current": null, "registries": {"a": {"x": 1}}}'])
def test_file_that_is_damaged_is_told_and_kept(home: Path, content: str) -> None:
    (home / "entrepot").mkdir()
    (home / "entrepot/credentials.json").write_text(content)

    with pytest.raises(CredentialsUnreadable, match="sign in again"):
        sign_in(HERE)
    assert (home / "entrepot/credentials.json").read_text() == content


def test_failure_on_the_way_changes_nothing() -> None:
    sign_in(HERE)

    def fail() -> None:
        with credentials.changing() as logins:
            logins.registries.clear()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(credentials.read().registries) == [HERE]


def test_token_is_not_printed() -> None:
    assert "secret" not in repr(Login("local:alice", "secret"))


def test_registry_is_where_one_last_signed_in() -> None:
    sign_in(HERE, "token-here")
    sign_in(THERE, "token-there")

    assert remote.find(None)[1].token == "token-there"
    assert remote.find(HERE)[1].token == "token-here"
    assert remote.find("here.example/")[0] == HERE


def test_variables_win(monkeypatch: pytest.MonkeyPatch) -> None:
    sign_in(HERE, "kept")
    monkeypatch.setenv(remote.URL_VARIABLE, THERE)
    monkeypatch.setenv(remote.TOKEN_VARIABLE, "of the job")

    url, login = remote.find(None)
    assert (url, login.token) == (THERE, "of the job")


def test_token_of_the_variable_is_sent_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    sign_in(HERE, "kept")
    monkeypatch.setenv(remote.TOKEN_VARIABLE, "of the job")
    with pytest.raises(Invalid, match=remote.URL_VARIABLE):
        remote.find(None)

    monkeypatch.setenv(remote.URL_VARIABLE, THERE)
    assert remote.find(HERE)[1].token == "kept"
    with pytest.raises(NotSignedIn):
        remote.find("https://elsewhere.example")


def test_registry_of_the_variable_alone_is_asked_with_what_is_kept_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    sign_in(HERE, "kept here")
    sign_in(THERE, "kept there")
    monkeypatch.setenv(remote.URL_VARIABLE, HERE)

    assert remote.find(None)[1].token == "kept here"


def test_who_is_signed_in_nowhere_is_told_what_to_do() -> None:
    with pytest.raises(NotSignedIn, match="entrepot login URL"):
        remote.find(None)
    with pytest.raises(NotSignedIn, match=f"entrepot login {HERE}"):
        remote.find(HERE)


def test_data_directory_is_meant_only_when_it_is_named(tmp_path: Path) -> None:
    assert remote.is_direct(None, tmp_path, None)
    assert remote.is_direct(None, None, tmp_path / "entrepot.toml")
    assert not remote.is_direct(None, None, None)
    assert not remote.is_direct(HERE, None, None)
    with pytest.raises(Invalid, match="give only one"):
        remote.is_direct(HERE, tmp_path, None)
