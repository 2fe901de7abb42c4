"""Settings: which of file, variable and option wins, and that everything wrong is said at once."""

from pathlib import Path

import pytest

from entrepot.settings import Settings, SettingsInvalid, documented, load


def _file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "entrepot.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_settings_without_anything_are_the_defaults() -> None:
    assert load(None, {}) == Settings()


def test_settings_from_a_file_are_taken(tmp_path: Path) -> None:
    file = _file(tmp_path, '[server]\nworkers = 3\n[storage.options]\nregion = "here"\n')

    settings = load(file, {})

    assert settings.server.workers == 3
    assert settings.storage.options == {"region": "here"}


def test_settings_from_variables_win_over_the_file(tmp_path: Path) -> None:
    file = _file(tmp_path, '[server]\nworkers = 3\nlisten = "127.0.0.1:1"\n')

    settings = load(file, {"ENTREPOT_SERVER_WORKERS": "4"})

    assert settings.server.workers == 4
    assert settings.server.listen == "127.0.0.1:1"


def test_settings_from_overrides_win_over_variables() -> None:
    variables = {"ENTREPOT_SERVER_WORKERS": "4", "ENTREPOT_DATA": "/variable"}

    settings = load(None, variables, {"server.workers": 5, "data": None})

    assert settings.server.workers == 5
    assert settings.data == Path("/variable")


@pytest.mark.parametrize(
    ("variable", "text", "dotted", "expected"),
    [
        ("ENTREPOT_SERVER_PIN_WORKERS", "false", "server.pin_workers", False),
        ("ENTREPOT_SERVER_PIN_WORKERS", "1", "server.pin_workers", True),
        ("ENTREPOT_LOG_LEVEL", "debug", "log.level", "debug"),
        ("ENTREPOT_STORAGE_OPTIONS", "a=b, c=d=e,", "storage.options", {"a": "b", "c": "d=e"}),
        ("ENTREPOT_STORAGE_OPTIONS", "", "storage.options", {}),
        ("ENTREPOT_STORAGE_OPTIONS", '{"a": "b,c"}', "storage.options", {"a": "b,c"}),
        ("ENTREPOT_SERVER_TRUSTED_PROXIES", "10.0.0.0/8, ::1,", "server.trusted_proxies", ("10.0.0.0/8", "::1")),
        ("ENTREPOT_SERVER_TRUSTED_PROXIES", ' ["10.0.0.0/8"]', "server.trusted_proxies", ("10.0.0.0/8",)),
        ("ENTREPOT_SERVER_TRUSTED_PROXIES", "", "server.trusted_proxies", ()),
        ("ENTREPOT_SERVER_TLS_CERT", "/c.pem", "server.tls_cert", Path("/c.pem")),
    ],
)
def test_variable_of_any_type_is_read(variable: str, text: str, dotted: str, expected: object) -> None:
    pair = {"ENTREPOT_SERVER_TLS_KEY": "/k.pem"} if "TLS" in variable else {}

    settings = load(None, {variable: text, **pair})

    section, _, key = dotted.partition(".")
    assert getattr(getattr(settings, section), key) == expected


@pytest.mark.parametrize("text", ["10.0.0.0/8;::1", '["10.0.0.0/8"', '{"a": 1}', "[1.5]", "anybody"])
def test_list_in_a_variable_that_is_none_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(SettingsInvalid, match="trusted_proxies"):
        load(None, {"ENTREPOT_SERVER_TRUSTED_PROXIES": text})


def test_variables_of_others_are_not_looked_at() -> None:
    others = ("ENTREPOT_ADMIN_PASSWORD", "ENTREPOT_CONFIG", "ENTREPOT_TEST_ANYTHING", "PATH", "entrepot_data")

    assert load(None, dict.fromkeys(others, "x")) == Settings()


def test_variable_of_no_setting_is_refused() -> None:
    with pytest.raises(SettingsInvalid, match="ENTREPOT_SERVER_WORKER: there is no such setting"):
        load(None, {"ENTREPOT_SERVER_WORKER": "4"})


def test_settings_with_several_errors_name_them_all(tmp_path: Path) -> None:
    file = _file(tmp_path, 'nonsense = 1\n[server]\nworkers = -1\ntypo = 1\n[log]\nlevel = "loud"\n')

    with pytest.raises(SettingsInvalid) as refusal:
        load(file, {"ENTREPOT_TYPO": "x", "ENTREPOT_DATABASE_CONNECTIONS": "many"})

    named = ("nonsense", "server.workers", "server.typo", "log.level", "ENTREPOT_TYPO", "database.connections")
    assert [name for name in named if f"  {name}: " not in refusal.value.message] == []


@pytest.mark.parametrize(
    "text",
    ["[server", "server = ", '[server]\nlisten = "a"\nlisten = "b"\n', "[server]\n[server]\n"],
)
def test_file_that_is_not_toml_is_refused_by_its_name(tmp_path: Path, text: str) -> None:
    file = _file(tmp_path, text)

    with pytest.raises(SettingsInvalid) as refusal:
        load(file, {})

    assert str(file) in refusal.value.message


def test_file_that_cannot_be_read_is_refused_by_its_name(tmp_path: Path) -> None:
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    for file in (tmp_path / "missing.toml", tmp_path, binary):
        with pytest.raises(SettingsInvalid) as refusal:
            load(file, {})

        assert str(file) in refusal.value.message


@pytest.mark.parametrize("given", ["tls_cert", "tls_key"])
def test_certificate_or_key_alone_is_refused(given: str) -> None:
    with pytest.raises(SettingsInvalid, match="go together"):
        load(None, {}, {f"server.{given}": "/x.pem"})


@pytest.mark.parametrize("text", ["server = 5\n", 'storage = "s3://x"\n', "log = []\n", "[[server]]\nworkers = 1\n"])
def test_section_that_is_no_table_is_refused_whatever_else_is_set(tmp_path: Path, text: str) -> None:
    variables = {
        "ENTREPOT_SERVER_WORKERS": "4",
        "ENTREPOT_STORAGE_URL": "",
        "ENTREPOT_LOG_LEVEL": "info",
    }
    for environment in ({}, variables):
        with pytest.raises(SettingsInvalid):
            load(_file(tmp_path, text), environment)


def test_settings_once_loaded_cannot_be_changed() -> None:
    settings = load(None, {})

    with pytest.raises(ValueError, match="frozen"):
        settings.server.workers = 5


def test_defaults_as_documented_are_those_in_force() -> None:
    for dotted, variable, default, _ in documented():
        section, _, key = dotted.rpartition(".")
        holder = getattr(Settings(), section) if section else Settings()
        assert getattr(holder, key) == default
        assert variable == "ENTREPOT_" + dotted.replace(".", "_").upper()


@pytest.mark.parametrize(
    "url", ["https://hub.example/registry", "hub.example", "ftp://hub.example", "https://h/?a", "https://"]
)
def test_external_url_that_clients_cannot_use_is_refused(url: str) -> None:
    with pytest.raises(SettingsInvalid, match="external_url"):
        load(None, {"ENTREPOT_SERVER_EXTERNAL_URL": url})


@pytest.mark.parametrize(
    "origin",
    [
        *("*", "null", "ui.example", "https://", "https://ui.example/", "https://UI.example", "https://ui.example:443"),
        *("http://ui.example:80", "https://a@ui.example", "https://*.example", "https://ui.example\n", "https://a b"),
    ],
)
def test_origin_that_no_browser_names_so_is_refused(origin: str) -> None:
    with pytest.raises(SettingsInvalid, match="allowed_origins"):
        load(None, {}, {"server.allowed_origins": (origin,)})


@pytest.mark.parametrize("origin", ["https://ui.example", "http://localhost:3000", "https://[::1]:8443", "http://a"])
def test_origin_as_browsers_name_it_is_taken(origin: str) -> None:
    assert load(None, {"ENTREPOT_SERVER_ALLOWED_ORIGINS": origin}).server.allowed_origins == (origin,)


@pytest.mark.parametrize("url", ["https://hub.example", "https://hub.example:8443/", "http://[::1]:5000", ""])
def test_external_url_is_taken_as_it_is(url: str) -> None:
    assert load(None, {"ENTREPOT_SERVER_EXTERNAL_URL": url}).server.external_url == url
