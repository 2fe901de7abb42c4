"""What holds for all tests: the servers they share, and what becomes of those that cannot run."""

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.peers.active_directory import ActiveDirectory
from tests.peers.certificate import Certificate, self_signed
from tests.peers.distribution import Distribution
from tests.peers.entrepot import Entrepot
from tests.peers.mounts import remove_tree
from tests.peers.openldap import OpenLDAP
from tests.peers.postgresql import PostgreSQL
from tests.peers.process import log_tail
from tests.peers.registry import Registry
from tests.peers.seaweedfs import SeaweedFS

REQUIRE_ALL = "ENTREPOT_TEST_REQUIRE_ALL"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--against",
        choices=("entrepot", "distribution"),
        default="entrepot",
        help="the registry behind the fixture `registry`: Entrepot, or the reference registry, "
        "which shows whether a client test that fails is itself right",
    )


# Several processes run the tests (`-n`), each of them all tests of a file: what tests share, they share in a process.

FOLDERS = ("durability", "clients", "services", "hostile", "functional", "conformance", "architecture", "unit")
"""Those with long tests first, so that no process is left with one of them at the end."""
WITH_DOMAIN = frozenset({"tests/clients/test_everybody.py", "tests/services/test_active_directory.py"})
"""One process runs all of these: there is one domain on a machine, whose ports cannot be chosen."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """The groups of xdist (`--dist loadgroup`) do not work with pytest 9.2."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "the domain" if file in WITH_DOMAIN else file

    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_position)


def _position(item: pytest.Item) -> int:
    folder = _folder(item.nodeid)
    return FOLDERS.index(folder) if folder in FOLDERS else len(FOLDERS)


def _folder(nodeid: str) -> str:
    return nodeid.removeprefix("tests/").partition("/")[0]


# How long each folder takes; and tests that cannot run here: listed with why, or failed where all have to run.

_skipped = pytest.StashKey[Counter[str]]()
_seconds = pytest.StashKey[Counter[str]]()
SKIPPED = "skipped"
"""The property of a report with the reason why its test could not run."""


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_skipped] = Counter()
    config.stash[_seconds] = Counter()
    config.pluginmanager.register(_Accounts(config), "accounts")


class _Accounts:
    """Where all reports arrive, whichever process they come from."""

    def __init__(self, config: pytest.Config) -> None:
        self._skipped = config.stash[_skipped]
        self._seconds = config.stash[_seconds]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[_folder(report.nodeid)] += report.duration
        for name, value in report.user_properties:
            if name == SKIPPED:
                self._skipped[str(value)] += 1


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        _account_for_skip(report)
    if report.failed:
        _show_server_logs(item, report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped:
        collector.config.stash[_skipped][_account_for_skip(report)] += 1
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    terminalreporter.section("seconds in each folder")
    for folder, seconds in config.stash[_seconds].most_common():
        terminalreporter.write_line(f"{seconds:7.0f} {folder}")
    skipped = config.stash[_skipped]
    if not skipped:
        return
    if os.environ.get(REQUIRE_ALL) == "1":
        title = f"could not run here, failed because of {REQUIRE_ALL}=1"
    else:
        title = f"skipped here; {REQUIRE_ALL}=1 makes these failures"
    terminalreporter.section(title)
    for reason, tests in sorted(skipped.items()):
        terminalreporter.write_line(f"{tests:4} {'test' if tests == 1 else 'tests'}: {reason}")


def _account_for_skip(report: pytest.TestReport | pytest.CollectReport) -> str:
    """The reason, which a test's report carries from now on."""
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
    reason = reason.removeprefix("Skipped: ")
    if isinstance(report, pytest.TestReport):
        report.user_properties.append((SKIPPED, reason))
    if os.environ.get(REQUIRE_ALL) == "1":
        report.outcome = "failed"
        report.longrepr = f"not run, but {REQUIRE_ALL}=1 asks for every test: {reason}"
    return reason


def _show_server_logs(item: pytest.Item, report: pytest.TestReport) -> None:
    for name, value in getattr(item, "funcargs", {}).items():
        log_path = getattr(value, "log_path", None)
        if isinstance(log_path, Path):
            report.sections.append((f"end of the log of {name}", log_tail(log_path)))


# Servers.


@pytest.fixture(scope="session")
def workspace() -> Iterator[Path]:
    """A directory with a short name, as unix sockets need; gone when the tests are over."""
    directory = Path(tempfile.mkdtemp(prefix="entrepot-"))
    yield directory
    remove_tree(directory)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """For servers that speak TLS on 127.0.0.1."""
    return self_signed(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """One server; a test makes a database of its own in it."""
    with PostgreSQL.installed() as server:
        yield server


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """One S3 store; a test takes a prefix of its own in it."""
    with SeaweedFS(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture(scope="session")
def openldap(tmp_path_factory: pytest.TempPathFactory, certificate: Certificate) -> Iterator[OpenLDAP]:
    """One server; a test adds users and groups with names of its own."""
    with OpenLDAP(tmp_path_factory.mktemp("openldap"), certificate) as server:
        yield server


@pytest.fixture(scope="session")
def active_directory(tmp_path_factory: pytest.TempPathFactory, certificate: Certificate) -> Iterator[ActiveDirectory]:
    """One domain, since its ports cannot be chosen; a test adds users and groups with names of its own."""
    with ActiveDirectory(tmp_path_factory.mktemp("active-directory"), certificate) as server:
        yield server


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """What runs the tests that are coroutines: as in the program."""
    return "asyncio"


@pytest.fixture(scope="session")
def registry_kind(
    request: pytest.FixtureRequest,
) -> type[Entrepot] | type[Distribution]:
    """What `--against` asks for."""
    return Distribution if request.config.getoption("against") == "distribution" else Entrepot


@pytest.fixture(scope="session")
def registry(
    registry_kind: type[Entrepot] | type[Distribution],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Registry]:
    """One registry, with its defaults, that all tests of the run share.

    But for the delays after wrong passwords: many clients give some, all from one address.
    """
    directory = tmp_path_factory.mktemp("registry")
    patient = {"ENTREPOT_LOGIN_FAILURES_FREE": "100000"}
    with Entrepot(directory, environment=patient) if registry_kind is Entrepot else registry_kind(directory) as server:
        yield server
    server.remove_data()


StartEntrepot = Callable[..., Entrepot]


@pytest.fixture
def start_entrepot(tmp_path: Path) -> Iterator[StartEntrepot]:
    """Start a server for one test, with the keyword arguments of `Entrepot`; stopped at its end."""
    with ExitStack() as servers:

        def start(**options: object) -> Entrepot:
            directory = tmp_path / f"entrepot-{len(list(tmp_path.glob('entrepot-*')))}"
            server = Entrepot(directory, **options)  # type: ignore[arg-type]
            servers.callback(server.remove_data)
            return servers.enter_context(server)

        yield start
