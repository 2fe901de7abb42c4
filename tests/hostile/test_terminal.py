"""Nothing that a registry, a file or a database says commands a terminal, hides there or forges a line.

Every command is run, and what there is to run comes from the program: a command without a row here is a failure.
"""

import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert
from typer.main import get_command

from entrepot import settings
from entrepot.audit import record
from entrepot.audit.hashing import canonical
from entrepot.audit.record import Act
from entrepot.audit.signing import sign
from entrepot.audit.tables import audit_cursors
from entrepot.cli import direct
from entrepot.cli.main import app
from entrepot.database import facts
from entrepot.identity.keys import load_or_make
from entrepot.namespaces.tables import namespaces
from entrepot.principal import NOWHERE, Caller, Principal
from tests.hostile.escapes import ARGUMENT, FORBIDDEN, HOSTILE, Said, Terminal, into_files, on_terminal
from tests.hostile.hostile_registry import (
    ABSENT,
    EXPORT,
    HostileRegistry,
    Reply,
    hostile_registry,
    refusal,
)
from tests.hostile.wire import Connection as Wire
from tests.peers.entrepot import PROGRAM
from tests.peers.process import free_port

PASSWORD = "correct horse battery staple"
A, NEW = ARGUMENT, ABSENT + ARGUMENT
URL, FILE = "{url}", "{file}"
SHOWN = "\\u009b"
"""As what is not to be seen is shown."""
NOW_MS = 1_800_000_000_000

REMOTE: Mapping[str, list[tuple[str, ...]]] = {
    "login": [
        (URL, "--username", A, "--password-stdin"),
        (URL, "--username", A),
        (URL, "--sso", A),
        (URL, "--token-stdin"),
    ],
    "logout": [(), (URL,)],
    "use": [(), (URL,), (f"{URL}/{A}",)],
    "whoami": [()],
    "user list": [("--provider", A, "--search", A)],
    "user show": [(A,)],
    "user add": [(NEW, "--display-name", A, "--email", A, "--password-stdin"), (A, "--generate"), (NEW, "--generate")],
    "user change": [(A, "--display-name", A)],
    "user disable": [(A,)],
    "user enable": [(A,)],
    "user remove": [(A,)],
    "user link": [(A, A)],
    "user unlink": [(A,)],
    "user reset-password": [(A, "--password-stdin"), (A, "--generate")],
    "user import-htpasswd": [(FILE,)],
    "user tokens": [(A,)],
    "user revoke-token": [(A, A)],
    "group list": [("--provider", A)],
    "group show": [(A,)],
    "group members": [(A,)],
    "group add": [(A, "--description", A)],
    "group remove": [(A,)],
    "group add-member": [(A, A)],
    "group remove-member": [(A, A)],
    "robot list": [("--below", A)],
    "robot show": [(A,)],
    "robot create": [
        (NEW, "--place", f"namespace:{A}", "--role", A, "--description", A, "--owner", A),
        (NEW, "--place", f"namespace:{A}", "--permission", A),
        (NEW, "--place", f"namespace:{A}", "--print-docker-config"),
        (A, "--place", A),
    ],
    "robot remove": [(A,)],
    "robot disable": [(A,)],
    "robot enable": [(A,)],
    "robot tokens": [(A,)],
    "robot token": [(A, "--name", A), (A, "--print-docker-config")],
    "robot rotate": [(A,), (A, A)],
    "robot revoke": [(A, A)],
    "robot trust list": [(A,)],
    "robot trust add": [(A, "--provider", A, "--claim", f"{A}={A}", "--audience", A)],
    "robot trust remove": [(A, "1"), (A, A)],
    "token list": [()],
    "token create": [(A,), (A, "--expires", A)],
    "token revoke": [(A,)],
    "token rotate": [(A,)],
    "role list": [()],
    "role show": [(A,)],
    "role put": [(A, "--permission", A, "--description", A)],
    "role remove": [(A,)],
    "grant list": [("--below", A, "--user", A, "--group", A)],
    "grant add": [(A, "--on", f"namespace:{A}", "--user", A, "--if", A), (A, "--on", A, "--everyone", "--until", A)],
    "grant remove": [("1",), (A,)],
    "namespace public": [("team",), (A,)],
    "namespace private": [("team",)],
    "namespace inherit": [("team",)],
    "namespace list": [()],
    "repository list": [("--below", A, "--search", A)],
    "repository show": [(A,)],
    "repository tags": [(A,)],
    "access explain": [(A, A, A, "--token", A, "--address", A)],
    "audit list": [("--actor", A, "--action", A, "--resource", A), ("--from", A)],
    "audit export": [("--actor", A), ("--format", A)],
    "audit public-key": [()],
    "audit status": [()],
}
"""What has an address: by its words, the rest of one command line or of several."""
DIRECT: Mapping[str, list[tuple[str, ...]]] = {
    "collect": [("--dry-run",), ()],
    "storage adopt": [("--yes",), ()],
    "migrate": [()],
    "config check": [()],
    "config show": [()],
    "admin reset-password": [("--password-stdin", "--administrator"), (A, "--generate"), (A, "--administrator")],
    "keys rotate": [(), ("--revoke",)],
    "keys adopt": [("--yes",), ()],
    "keys list": [()],
    "namespace public": [("team",), (A,)],
    "namespace private": [("team",)],
    "namespace inherit": [("team",)],
    "namespace list": [()],
    "audit export": [(), ("--format", "cef"), ("--actor", A), ("--from", A)],
    "audit public-key": [()],
    "audit accept-restored": [("--yes",), ()],
    "audit status": [()],
}
"""What has a data directory, and ends."""
STATUSES = {"user import-htpasswd": 1, "audit public-key": 1}
"""Of the first line of each command, where it is not 0: some users are refused, and what is no key."""
ENDLESS = {"serve", "maintenance"}
FILES = {"config schema", "audit verify"}
SEVERAL_STEPS = ("login", "logout", "user add", "robot create", "robot rotate", "namespace inherit", "audit export")
"""What does something of its own with a refusal; all others have one request, as `whoami`."""
EXACT = {"token create", "token rotate", "robot token", "robot rotate", "robot create", "audit export"}
"""What prints what is to be used as it is."""
EXPORT_WORDS = "audit export"
"""Has lines of its own on the standard output, and nothing beside them."""


def commands() -> dict[str, set[str]]:
    """All that there are, each with the names of its options and arguments."""
    found = {}

    def look(command: Any, words: tuple[str, ...]) -> None:
        if not hasattr(command, "list_commands"):
            found[" ".join(words)] = {parameter.name for parameter in command.params}
            return
        for name in command.list_commands(None):
            look(command.get_command(None, name), (*words, name))

    look(get_command(app), ())
    return found


def lines_of(table: Mapping[str, list[tuple[str, ...]]]) -> list[Any]:
    return [
        pytest.param(command, line, id=f"{command} {number}".replace(" ", "-"))
        for command, lines in table.items()
        for number, line in enumerate(lines)
    ]


@pytest.fixture(scope="module")
def registry() -> Iterator[HostileRegistry]:
    with hostile_registry() as found:
        yield found


@pytest.fixture(autouse=True)
def answers_as_described(request: pytest.FixtureRequest) -> None:
    if "registry" in request.fixturenames:
        request.getfixturevalue("registry").reply = None


@pytest.fixture
def shell(registry: HostileRegistry, tmp_path: Path) -> "Shell":
    return Shell(registry, tmp_path)


class Shell:
    """Where somebody is signed in to a registry that is hostile, and was it before."""

    def __init__(self, registry: HostileRegistry, directory: Path) -> None:
        self.registry = registry
        self.directory = directory
        self.file = directory / ARGUMENT[:40].replace("/", "")
        self.file.write_text(HOSTILE)

    def command(self, words: str, line: tuple[str, ...]) -> list[str]:
        return [str(PROGRAM), *words.split(), *(part.format(url=self.registry.url, file=self.file) for part in line)]

    def signed_in(self, name: str) -> dict[str, str]:
        """The environment of one more person."""
        kept = self.directory / name / "entrepot/credentials.json"
        kept.parent.mkdir(parents=True)
        login = {"user": HOSTILE, "token": "token", "token_id": HOSTILE, "expires_at": HOSTILE, "ca_file": None}
        kept.write_text(json.dumps({"current": self.registry.url, "registries": {self.registry.url: login}}))
        return {"XDG_CONFIG_HOME": str(self.directory / name)}


def test_every_command_is_run_here() -> None:
    there = commands()

    assert {name for name, parameters in there.items() if "url" in parameters} == set(REMOTE)
    assert {name for name, parameters in there.items() if "data" in parameters} == set(DIRECT) | ENDLESS
    assert set(there) == {*REMOTE, *DIRECT, *ENDLESS, *FILES}


@pytest.mark.parametrize(("words", "line"), lines_of(REMOTE))
def test_answers_do_nothing_to_a_terminal(shell: Shell, words: str, line: tuple[str, ...]) -> None:
    command = shell.command(words, line)
    has_json = "json" in commands()[words] and line == REMOTE[words][0]
    with ThreadPoolExecutor(2) as pool:
        on_screen = pool.submit(on_terminal, command, shell.signed_in("screen"), f"{PASSWORD}\n")
        piped = pool.submit(into_files, command, shell.signed_in("pipe"), f"{PASSWORD}\n")
        printed = pool.submit(into_files, [*command, "--json"], shell.signed_in("json")) if has_json else None

    if line == REMOTE[words][0]:
        assert on_screen.result().status == STATUSES.get(words, 0), on_screen.result().out
    assert on_screen.result().harmless(lines=words == EXPORT_WORDS)
    assert "Traceback" not in on_screen.result().out
    assert_piped(words, piped.result())
    if printed is not None:
        assert printed.result().harmless()
        json.loads(printed.result().out)


def assert_piped(words: str, said: Said) -> None:
    if words in EXACT:
        assert Said(said.status, "", said.err).harmless()
    else:
        assert said.harmless()


@pytest.mark.parametrize("words", SEVERAL_STEPS)
def test_refusals_do_nothing_to_a_terminal(shell: Shell, words: str) -> None:
    shell.registry.reply = refusal(409)

    said = on_terminal(shell.command(words, REMOTE[words][0]), shell.signed_in("screen"), f"{PASSWORD}\n")

    assert said.harmless()
    assert "Traceback" not in said.out


LATIN = "\x9b31m\x85FORGED"
REPLIES = {
    **{str(status): refusal(status) for status in (400, 401, 403, 404, 409, 412, 422, 429, 500, 503)},
    "errors": Reply(400, json.dumps({"errors": [{"message": HOSTILE}]}).encode()),
    "no-json": Reply(200, HOSTILE.encode()),
    "half-a-character": Reply(200, b'{"name": "\\ud800"}'),
    "no-number": Reply(200, b'{"name": NaN}'),
    "reason": Reply(500, HOSTILE.encode(), reason=LATIN),
    "redirect": Reply(302, headers={"Location": f"https://{LATIN}/"}),
    "tag": Reply(200, b"{}", {"ETag": f'"{LATIN}"'}),
    "of-no-shape": Reply(200, json.dumps({HOSTILE: HOSTILE}).encode()),
    "list": Reply(200, json.dumps([HOSTILE]).encode()),
}


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
@pytest.mark.parametrize("line", ["whoami", "robot disable team/ci"])
def test_answers_of_any_kind_do_nothing_to_a_terminal(shell: Shell, reply: Reply, line: str) -> None:
    shell.registry.reply = reply

    assert on_terminal(shell.command(line, ()), shell.signed_in("screen")).harmless()


def test_what_scripts_use_is_exact_where_no_terminal_is(shell: Shell) -> None:
    token = into_files(shell.command("token create", ("ci",)), shell.signed_in("token"))
    assert token.out == f"{HOSTILE}\n"

    exported = shell.directory / "exported"
    export = shell.command("audit export", ("--output", str(exported)))
    assert on_terminal(export, shell.signed_in("export")).status == 0
    assert exported.read_bytes() == EXPORT

    found = into_files(shell.command("user show", ("alice", "--json")), shell.signed_in("json"))
    assert json.loads(found.out)["display_name"] == HOSTILE
    assert SHOWN in found.out


def test_file_that_is_a_terminal_gets_what_a_terminal_may_have(shell: Shell) -> None:
    said = on_terminal(shell.command("audit export", ("--output", "/dev/stdout")), shell.signed_in("export"))

    assert said.status == 0
    assert said.harmless(lines=True)
    assert SHOWN in said.out


@pytest.mark.parametrize(
    "line",
    [
        (A,),
        (f"--{A}",),
        ("user", A),
        ("user", "list", f"--{A}"),
        ("user", "list", A),
        ("grant", "remove", A),
        ("audit", "list", "--limit", A),
        ("serve", "--workers", A),
        ("serve", "--listen", A),
        ("config", "check", "--config", A),
        ("audit", "verify", A, "--key", A),
        ("login", A),
        ("\udc9b31m",),
        ("login", "\udc9b31m"),
    ],
    ids=lambda line: f"{len(line)}",
)
def test_wrong_command_lines_do_nothing_to_a_terminal(line: tuple[str, ...], tmp_path: Path) -> None:
    command = [os.fsencode(part) for part in (str(PROGRAM), *line)]
    environment = {"XDG_CONFIG_HOME": str(tmp_path)}

    said = on_terminal([os.fsdecode(part) for part in command], environment)

    assert said.status not in {0, None}
    assert said.harmless()
    assert "Traceback" not in said.out


# On the data directory.


def plant(connection: Connection) -> None:
    """What no part of the program would write."""
    connection.execute(insert(namespaces).values(path=HOSTILE, public=True, created_at_ms=NOW_MS))
    connection.execute(
        insert(audit_cursors).values(
            target=HOSTILE, seq=0, error=HOSTILE, claimed_by="", claimed_until_ms=0, updated_at_ms=NOW_MS
        )
    )
    act = Act(HOSTILE, HOSTILE, reason=HOSTILE, detail={HOSTILE: HOSTILE})
    record.write(connection, record.compose(NOW_MS, Caller(Principal("local", HOSTILE), NOWHERE), act))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with a hostile name, and a database that is no better."""
    directory = tmp_path / "data\x1b[2J\x9b31m\u202e"
    direct.write(settings.load(None, variables={}, overrides={"data": directory}), plant)
    load_or_make(directory / "keys")
    return directory


def change_facts(data: Path, *names: str) -> None:
    def put(connection: Connection) -> None:
        for name in names:
            facts.put(connection, name, HOSTILE)

    direct.write(settings.load(None, variables={}, overrides={"data": data}), put)


@pytest.mark.parametrize(("words", "line"), lines_of(DIRECT))
def test_data_directory_does_nothing_to_a_terminal(data: Path, words: str, line: tuple[str, ...]) -> None:
    command = [PROGRAM, *words.split(), *line, "--data", data]

    on_screen = on_terminal(command, {}, f"{PASSWORD}\n")
    piped = into_files(command, {}, f"{PASSWORD}\n")

    if line == DIRECT[words][0]:
        assert on_screen.status == 0, on_screen.out
    assert on_screen.harmless(lines=words == EXPORT_WORDS)
    assert "Traceback" not in on_screen.out
    assert_piped(words, piped)
    if "json" in commands()[words]:
        printed = into_files([*command, "--json"], {})
        assert printed.harmless()
        json.loads(printed.out)


def test_exports_of_the_database_are_exact_where_no_terminal_is(data: Path) -> None:
    exported = into_files([PROGRAM, "audit", "export", "--data", data], {})

    records = [json.loads(line) for line in exported.out.split("\n") if line]
    assert HOSTILE in [line["record"]["action"] for line in records if line["type"] == "record"]
    assert FORBIDDEN & set(exported.out)
    assert SHOWN in on_terminal([PROGRAM, "audit", "export", "--data", data], {}).out


@pytest.mark.parametrize("words", ["serve", "storage adopt --yes", "keys adopt --yes", "collect"])
def test_identities_do_nothing_to_a_terminal(data: Path, words: str) -> None:
    into_files([PROGRAM, "collect", "--data", data], {})
    change_facts(data, "store.id", "keys.fingerprint")

    assert on_terminal([PROGRAM, *words.split(), "--data", data], {}).harmless()


def test_log_of_a_server_does_nothing_to_a_terminal(data: Path) -> None:
    port = free_port()
    serve = [PROGRAM, "serve", "--data", data, "--listen", f"127.0.0.1:{port}", "--workers", "1"]
    terminal = Terminal(serve, {"ENTREPOT_LOG_LEVEL": "debug"})
    try:
        wait_for(port)
        for path in (b"/v2/%1B%5B2J%C2%9B31m%E2%80%AE/manifests/%0AFORGED", b"/%7F%C2%85", b"/token?scope=%C2%9B"):
            with Wire(port) as wire:
                agent = "\x9b31m\u202e\x85FORGED".encode()
                headers = b"User-Agent: %b\r\nX-Request-Id: %b\r\nHost: a\r\nConnection: close\r\n" % (agent, agent)
                wire.send(b"GET %b HTTP/1.1\r\n%b\r\n" % (path, headers))
                wire.answers()
    finally:
        terminal.process.send_signal(signal.SIGTERM)
        said = terminal.end()

    assert said.harmless()
    written = [json.loads(line) for line in said.out.splitlines() if line.startswith("{")]
    assert any("\x9b31m" in line.get("user_agent", "") for line in written)


def test_log_of_maintenance_does_nothing_to_a_terminal(data: Path, registry: HostileRegistry) -> None:
    into_files([PROGRAM, "collect", "--data", data], {})
    change_facts(data, "store.id")
    registry.reply = REPLIES["redirect"]
    maintenance = Terminal([PROGRAM, "maintenance", "--data", data], {"ENTREPOT_AUDIT_HTTP_URL": registry.url})
    maintenance.wait_for("could not be forwarded to http")
    maintenance.process.send_signal(signal.SIGTERM)

    said = maintenance.end()
    assert said.harmless()
    assert "could not be forwarded to http" in said.out


def wait_for(port: int) -> None:
    for _ in range(600):
        try:
            with Wire(port):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server does not listen")


# Files.


def test_export_that_somebody_forged_does_nothing_to_a_terminal(data: Path, tmp_path: Path) -> None:
    key, export, wrong = (tmp_path / f"{name}{ARGUMENT[:40].replace('/', '')}" for name in ("key", "export", "wrong"))
    key.write_bytes(into_files([PROGRAM, "audit", "public-key", "--data", data], {}).out.encode())
    export.write_text(into_files([PROGRAM, "audit", "export", "--data", data], {}).out)
    lines = [json.loads(line) for line in export.read_text().split("\n") if line]
    # Signed by the key itself, as who has it may.
    closing = {name: value for name, value in lines[-1].items() if name not in {"key_id", "signature"}}
    signed = sign(load_or_make(data / "keys").audit, {**closing, "time": HOSTILE})
    export.write_bytes(b"".join(canonical(line) + b"\n" for line in [*lines[:-1], signed]))
    forged = [
        {name: HOSTILE if isinstance(value, str) and name != "type" else value for name, value in line.items()}
        for line in lines
    ]
    wrong.write_bytes(b"".join(canonical(line) + b"\n" for line in [*forged, {HOSTILE: HOSTILE}]) + HOSTILE.encode())

    verify = [PROGRAM, "audit", "verify", "--key", key]
    whole = on_terminal([*verify, export], {})
    assert (whole.status, whole.harmless()) == (0, True)
    assert SHOWN in whole.out
    for more in ([export, wrong], [export, "--since", wrong], [wrong, "--json"], [tmp_path / ARGUMENT[:40]]):
        said = on_terminal([*verify, *more], {})
        assert said.status == 1
        assert said.harmless()
        assert "Traceback" not in said.out


def test_credentials_that_somebody_forged_do_nothing_to_a_terminal(tmp_path: Path) -> None:
    kept = tmp_path / "entrepot/credentials.json"
    kept.parent.mkdir()
    for content in (HOSTILE, json.dumps({"current": HOSTILE, "registries": {HOSTILE: {HOSTILE: HOSTILE}}})):
        kept.write_text(content)
        for line in ("use", "whoami", "logout"):
            assert on_terminal([PROGRAM, line], {"XDG_CONFIG_HOME": str(tmp_path)}).harmless()


def test_settings_that_somebody_forged_do_nothing_to_a_terminal(tmp_path: Path) -> None:
    config = tmp_path / "entrepot.toml"
    quoted = json.dumps(ARGUMENT.replace("\x7f", ""), ensure_ascii=False)
    for content in (
        ARGUMENT,
        f"{quoted} = 1\n",
        f"[server]\nlisten = {quoted}\n",
        f"[log]\nlevel = {quoted}\n",
        f'[storage]\nurl = "file:///tmp"\n[storage.options]\n{quoted} = {quoted}\n',
        f"[database]\nurl = {quoted}\n",
    ):
        config.write_text(content)
        said = on_terminal([PROGRAM, "config", "check", "--config", config], {})
        assert said.harmless()
        assert "Traceback" not in said.out
