"""Audit records reach a syslog receiver and an HTTP collector: all of them, in order, whatever fails in between."""

import asyncio
import json
import shutil
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from entrepot import maintenance
from entrepot.app import open_app
from entrepot.audit import chain, forward, segments
from entrepot.audit.forward import BATCH_RECORDS_MAX, Forwarder, syslog_message
from entrepot.audit.segments import DAY_MS
from entrepot.clock import system_clock
from entrepot.database.database import Database
from entrepot.database.open import database_url, open_database
from entrepot.migrations import schema
from entrepot.outbound.client import Outbound
from entrepot.settings import AuditSettings, DatabaseSettings, Settings
from entrepot.telemetry.metrics import Metrics
from tests.conformance.database.audit_records import content, leave, record, stored
from tests.conformance.database.content import NOW_MS
from tests.conformance.database.waiting import until
from tests.peers.certificate import Certificate, self_signed
from tests.peers.collector import Collector
from tests.peers.entrepot import PROGRAM
from tests.peers.process import Server, free_port
from tests.peers.rsyslog import Rsyslog

pytestmark = pytest.mark.anyio

MARK = "\ufeff"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    data = tmp_path / "data"
    schema.upgrade(f"sqlite:///{data / 'entrepot.db'}")
    opened = open_database(DatabaseSettings(), data)
    yield opened
    await opened.close()


@pytest.fixture
async def outbound() -> AsyncIterator[Outbound]:
    opened = Outbound()
    yield opened
    await opened.close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as started:
        yield started


class Counted:
    """What the metrics would say."""

    def __init__(self) -> None:
        self.sent: dict[str, int] = {}
        self.failed: dict[str, int] = {}

    def count_sent(self, target: str, count: int) -> None:
        self.sent[target] = self.sent.get(target, 0) + count

    def count_failed(self, target: str, count: int) -> None:
        self.failed[target] = self.failed.get(target, 0) + count


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
def make(outbound: Outbound, counted: Counted) -> Callable[..., Forwarder]:
    def forwarder(**settings: object) -> Forwarder:
        audit = AuditSettings.model_validate(settings)
        return Forwarder(audit, outbound, system_clock, counted.count_sent, counted.count_failed)

    return forwarder


async def fill(database: Database, count: int, *, first: int = 1) -> None:
    await database.write(leave, [record(number) for number in range(first, first + count)])
    await chain.seal_all(database)


async def cursor(database: Database) -> tuple[int, str]:
    ((_, seq, error, _),) = await database.read(forward.cursors)
    return seq, error


# HTTP.


async def test_collector_gets_every_record(
    database: Database, collector: Collector, make: Callable[..., Forwarder], counted: Counted
) -> None:
    count = 2 * BATCH_RECORDS_MAX + 3
    await fill(database, count)
    await make(http_url=collector.url, http_token="secret").run(database)

    assert collector.numbers() == list(range(1, count + 1))
    assert {name.lower(): value for name, value in collector.headers.items()}["authorization"] == "Bearer secret"
    assert [len(batch) for batch in collector.batches] == [BATCH_RECORDS_MAX, BATCH_RECORDS_MAX, 3]
    first = (await database.read(stored))[0]
    line = {"seq": 1, "hash": first.hash, "record": json.loads(first.record), "type": "record"}
    assert collector.batches[0][0] == line
    assert await cursor(database) == (count, "")
    assert counted.sent == {"http": count}


async def test_collector_gets_nothing_twice_and_what_comes_later(
    database: Database, collector: Collector, make: Callable[..., Forwarder]
) -> None:
    forwarder = make(http_url=collector.url)
    await fill(database, 3)
    await forwarder.run(database)
    await forwarder.run(database)
    await fill(database, 2, first=4)
    await forwarder.run(database)
    await make(http_url=collector.url).run(database)

    assert collector.numbers() == [1, 2, 3, 4, 5]


async def test_retention_waits_for_the_target_that_is_behind(
    database: Database, collector: Collector, make: Callable[..., Forwarder]
) -> None:
    await fill(database, 3)
    assert await make().sent_until(database) is None
    await make(http_url=collector.url).run(database)

    assert await make(http_url=collector.url).sent_until(database) == 3
    both = make(http_url=collector.url, syslog_url=f"tcp://127.0.0.1:{free_port()}")
    assert await both.sent_until(database) == 0
    await both.run(database)
    assert await both.sent_until(database) == 0


async def test_maintenance_removes_what_is_archived_and_forwarded(tmp_path: Path, collector: Collector) -> None:
    audit = {"retention_days": 1, "segment_records": 10, "http_url": collector.url}
    settings = Settings.model_validate({"data": tmp_path / "data", "audit": audit})
    schema.upgrade(database_url(settings.database, settings.data))
    tasks = {task.kind: task.run for task in maintenance.TASKS}
    async with open_app(settings, Metrics(), lambda: NOW_MS + 30 * DAY_MS) as app:
        await fill(app.database, 20)
        await tasks["archived audit records"](app)
        assert len(await app.database.read(segments.listing)) == 2
        assert len(await app.database.read(stored)) == 20

        await tasks["audit forwarding"](app)
        await tasks["archived audit records"](app)
        assert collector.numbers() == list(range(1, 21))
        assert await app.database.read(stored) == []


async def test_collector_that_fails_gets_the_batch_again(
    database: Database, collector: Collector, make: Callable[..., Forwarder], counted: Counted
) -> None:
    await fill(database, 3)
    collector.statuses = [503]
    await make(http_url=collector.url).run(database)
    assert await cursor(database) == (0, "the collector responded with status 503")
    assert counted.failed == {"http": 1}

    await make(http_url=collector.url).run(database)
    assert collector.numbers() == [1, 2, 3, 1, 2, 3]
    assert await cursor(database) == (3, "")


async def test_collector_that_fails_is_left_alone_for_a_while(
    database: Database, collector: Collector, make: Callable[..., Forwarder]
) -> None:
    await fill(database, 3)
    collector.statuses = [500]
    forwarder = make(http_url=collector.url)
    for _ in range(5):
        await forwarder.run(database)

    assert len(collector.batches) == 1


@pytest.mark.parametrize("status", [301, 400, 401, 404])
async def test_collector_that_refuses_moves_nothing(
    database: Database, collector: Collector, make: Callable[..., Forwarder], status: int
) -> None:
    await fill(database, 3)
    collector.statuses = [status]
    await make(http_url=collector.url).run(database)

    assert await cursor(database) == (0, f"the collector responded with status {status}")


async def test_target_that_is_down_keeps_neither_sealing_nor_the_other_target(
    database: Database, collector: Collector, make: Callable[..., Forwarder]
) -> None:
    await fill(database, 3)
    await make(http_url=collector.url, syslog_url=f"tcp://127.0.0.1:{free_port()}").run(database)
    await fill(database, 3, first=4)

    assert collector.numbers() == [1, 2, 3]
    assert len(await database.read(stored)) == 6
    errors = {target: (seq, bool(error)) for target, seq, error, _ in await database.read(forward.cursors)}
    assert errors == {"http": (3, False), "syslog": (0, True)}


async def test_error_does_not_tell_the_secrets_of_the_url(database: Database, make: Callable[..., Forwarder]) -> None:
    await fill(database, 1)
    await make(http_url=f"http://user:hidden@127.0.0.1:{free_port()}/?token=hidden", http_token="hidden").run(database)

    assert "hidden" not in (await cursor(database))[1]


async def test_two_processes_do_not_send_at_once(
    database: Database, collector: Collector, make: Callable[..., Forwarder]
) -> None:
    await fill(database, 3)
    collector.answers.clear()
    sending = asyncio.create_task(make(http_url=collector.url).run(database))
    await until(lambda: bool(collector.batches))
    await make(http_url=collector.url).run(database)
    collector.answers.set()
    await sending

    assert collector.numbers() == [1, 2, 3]


@pytest.mark.parametrize("target", ["http", "syslog"])
async def test_process_killed_between_sending_and_its_cursor_loses_nothing(
    database: Database, collector: Collector, tmp_path: Path, target: str
) -> None:
    await fill(database, 5)
    config = tmp_path / "entrepot.toml"
    receiver: Collector | Receiver = collector
    if target == "syslog":
        receiver = Receiver()
        config.write_text(f'[audit]\nsyslog_url = "tcp://127.0.0.1:{receiver.port}"\n')
    else:
        config.write_text(f'[audit]\nhttp_url = "{collector.url}"\n')
    command = [str(PROGRAM), "maintenance", "--data", str(tmp_path / "data"), "--config", str(config)]
    receiver.answers.clear()
    first = Server(command, log_path=tmp_path / "first.log")
    first.start(lambda: len(receiver.numbers()) == 5)
    first.kill()
    receiver.answers.set()
    assert (await cursor(database))[0] == 0

    await fill(database, 2, first=6)
    second = Server(command, log_path=tmp_path / "second.log")
    second.start(lambda: receiver.numbers()[-1:] == [7])
    await until_sent(database, 7)
    second.stop()
    assert receiver.numbers() == [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 6, 7]


async def until_sent(database: Database, seq: int) -> None:
    async with asyncio.timeout(30):
        while (await cursor(database))[0] < seq:
            await asyncio.sleep(0.05)


class Receiver:
    """A syslog receiver over TCP that does not end its connections while `answers` is not set."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._received: list[bytearray] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def numbers(self) -> list[int]:
        found = []
        for connection in list(self._received):
            content = bytes(connection)
            while content:
                length, _, rest = content.partition(b" ")
                message, content = rest[: int(length)], rest[int(length) :]
                found.append(json.loads(message.partition(MARK.encode())[2])["seq"])
        return found

    def _accept(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            received = bytearray()
            self._received.append(received)
            with connection:
                while piece := connection.recv(65536):
                    received += piece
                self.answers.wait()


# Syslog.


@pytest.fixture
def rsyslog(workspace: Path, certificate: Certificate) -> Iterator[Rsyslog]:
    directory = workspace / f"rsyslog-{free_port()}"
    directory.mkdir()
    with Rsyslog(directory, certificate) as started:
        yield started
    shutil.rmtree(directory)


async def test_rsyslog_gets_every_record_over_tls(
    database: Database, rsyslog: Rsyslog, certificate: Certificate, make: Callable[..., Forwarder]
) -> None:
    count = BATCH_RECORDS_MAX + 3
    await fill(database, count)
    refused = record(0, outcome="refused", reason="line\nfeed", action="login:password", user_agent="ü" * 3000)
    await database.write(leave, [refused])
    await chain.seal_all(database)
    await make(syslog_url=rsyslog.url, syslog_ca_file=certificate.certificate).run(database)

    await until(lambda: len(rsyslog.parsed()) == count + 1)
    found = await database.read(stored)
    assert rsyslog.messages() == [syslog_message(each, socket.gethostname()).decode() for each in found]
    priority, time, host, application, message_id, message = rsyslog.parsed()[0]
    assert (priority, host, application, message_id) == ("110", socket.gethostname(), "entrepot", "manifest:push")
    assert time == record(1)["time"]
    assert json.loads(message.removeprefix(MARK))["record"] == json.loads(found[0].record)
    last = rsyslog.parsed()[-1]
    assert (last[0], last[4]) == ("108", "login:password")
    assert json.loads(last[5].removeprefix(MARK))["record"] == json.loads(found[-1].record)
    assert content(found[-1]) == refused
    assert await cursor(database) == (count + 1, "")


async def test_rsyslog_whose_certificate_is_not_trusted_gets_nothing(
    database: Database, rsyslog: Rsyslog, tmp_path: Path, make: Callable[..., Forwarder]
) -> None:
    await fill(database, 3)
    await make(syslog_url=rsyslog.url, syslog_ca_file=self_signed(tmp_path).certificate).run(database)
    await make(syslog_url=rsyslog.url).run(database)

    seq, error = await cursor(database)
    assert seq == 0
    assert "127.0.0.1" in error
    assert rsyslog.messages() == []


async def test_rsyslog_that_was_down_gets_what_it_missed(
    database: Database, rsyslog: Rsyslog, certificate: Certificate, make: Callable[..., Forwarder]
) -> None:
    settings = {"syslog_url": rsyslog.url, "syslog_ca_file": certificate.certificate}
    await fill(database, 2)
    await make(**settings).run(database)
    rsyslog.server.stop()
    await fill(database, 2, first=3)
    await make(**settings).run(database)
    assert (await cursor(database))[0] == 2

    rsyslog.start()
    await make(**settings).run(database)
    await until(lambda: len(rsyslog.messages()) == 4)
    numbers = [json.loads(line[5].removeprefix(MARK))["seq"] for line in rsyslog.parsed()]
    assert numbers == [1, 2, 3, 4]
    assert await cursor(database) == (4, "")


async def test_address_that_is_none_is_an_error_and_no_more(database: Database, make: Callable[..., Forwarder]) -> None:
    await fill(database, 1)
    await make(syslog_url="udp://127.0.0.1:514").run(database)

    assert "audit.syslog_url" in (await cursor(database))[1]
