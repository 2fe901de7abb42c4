import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from entrepot.audit import pulls
from entrepot.audit.pulls import PullLog
from entrepot.audit.record import FAILED, Act
from entrepot.errors import Unavailable
from entrepot.principal import ANONYMOUS, Caller, Credential, Origin, Principal

pytestmark = pytest.mark.anyio

ALICE = Principal("local", "alice", credential=Credential("password"))
AT_MS = 1_700_000_000_123


class Kept:
    """What was written; `fails` times it cannot be, and while it is `closed`, it takes its time."""

    def __init__(self, fails: int = 0) -> None:
        self.records: list[dict[str, Any]] = []
        self.fails = fails
        self.open = asyncio.Event()
        self.open.set()
        self.begun = asyncio.Event()

    async def write(self, records: list[bytes]) -> None:
        self.begun.set()
        await self.open.wait()
        if self.fails:
            self.fails -= 1
            raise Unavailable("no")
        self.records += [json.loads(record) for record in records]


def pull(log: PullLog, tag: str = "v1", request: str = "r1", at_ms: int = AT_MS, **changes: Any) -> None:
    origin = Origin(changes.get("address", "192.0.2.1"), "docker", request)
    principal = changes.get("principal", ALICE)
    log.add(
        at_ms, Caller(principal, origin), "manifest:pull", "repository:a/b", "sha256:0", tag, owner=changes.get("owner")
    )


async def until(holds: Callable[[], bool], wait: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
    for _ in range(1000):
        if holds():
            return
        await wait(0.01)
    raise AssertionError("it never happened")


async def test_equal_pulls_are_one_record_with_their_count() -> None:
    kept = Kept()
    log = PullLog(kept.write)
    for number in range(5):
        pull(log, request=f"r{number}", at_ms=AT_MS + number)
    pull(log, tag="v2")
    pull(log, address="192.0.2.2")
    pull(log, principal=Principal("robot", "ci"), owner="local:alice")
    await log.close()

    first = kept.records[0]
    assert [record.get("count", 1) for record in kept.records] == [5, 1, 1, 1]
    assert (first["request_id"], first["time"]) == ("r0", "2023-11-14T22:13:20.123Z")
    assert first["detail"] == {"tag": "v1"}
    assert [record.get("owner") for record in kept.records] == [None, None, None, "local:alice"]


async def test_pulls_are_written_by_themselves_soon() -> None:
    kept = Kept()
    log = PullLog(kept.write)
    pull(log)
    await until(lambda: len(kept.records) == 1)
    pull(log)
    await until(lambda: len(kept.records) == 2)
    await log.close()

    assert len(kept.records) == 2


async def test_pulls_that_cannot_be_written_are_kept_and_counted_with_what_comes() -> None:
    kept = Kept(fails=2)
    log = PullLog(kept.write)
    pull(log)
    pull(log)
    await until(lambda: kept.fails < 2)
    pull(log, at_ms=AT_MS + 1000)
    pull(log, tag="v2")
    await until(lambda: bool(kept.records))
    await log.close()

    assert {(record["detail"]["tag"], record.get("count", 1)) for record in kept.records} == {("v1", 3), ("v2", 1)}
    assert kept.records[0]["time"].endswith(".123Z")


async def test_closing_waits_for_what_is_being_written_and_writes_nothing_twice() -> None:
    kept = Kept()
    kept.open.clear()
    log = PullLog(kept.write)
    pull(log)
    await kept.begun.wait()
    pull(log, tag="v2")
    closing = asyncio.create_task(log.close())
    await asyncio.sleep(0)
    kept.open.set()
    await closing

    assert [record["detail"]["tag"] for record in kept.records] == ["v1", "v2"]


async def test_more_than_can_wait_is_dropped_and_said(caplog: pytest.LogCaptureFixture) -> None:
    kept = Kept()
    log = PullLog(kept.write)
    for number in range(pulls.DISTINCT_MAX + 3):
        pull(log, tag=f"v{number}")
    await log.close()

    assert len(kept.records) == pulls.DISTINCT_MAX
    assert "3 records were lost" in caplog.text


async def test_record_that_could_not_be_written_in_time_is_written_first() -> None:
    kept = Kept()
    log = PullLog(kept.write)
    log.add_late(b'{"action":"login:password"}')
    pull(log, tag="v1")

    await log.close()

    assert [record["action"] for record in kept.records] == ["login:password", "manifest:pull"]


async def test_flood_is_one_record_an_address_with_its_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulls, "FLOOD_SECONDS", 1.0)
    kept = Kept()
    log = PullLog(kept.write)
    for number in range(500):
        act = Act("login:token", f"user:{number}", outcome=FAILED, reason="too many")
        log.add_flood(AT_MS + number, Caller(ANONYMOUS, Origin(f"192.0.2.{number % 2}", "docker", str(number))), act)
    pull(log)
    await until(lambda: len(kept.records) == 1)
    assert kept.records[0]["action"] == "manifest:pull"
    await until(lambda: len(kept.records) == 3)

    assert {(record["address"], record["count"]) for record in kept.records[1:]} == {
        ("192.0.2.0", 250),
        ("192.0.2.1", 250),
    }
    await log.close()


async def test_floods_that_were_told_apart_have_a_record_each_again_once_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pulls, "FLOOD_SECONDS", 0.0)
    monkeypatch.setattr(pulls, "FLOODS_MAX", 2)
    written: list[bytes] = []

    async def write(records: list[bytes]) -> None:
        written.extend(records)

    for _ in range(2):
        log = pulls.PullLog(write)
        written.clear()
        for number in range(12):
            origin = Origin(f"192.0.2.{number % 4}", "", "")
            log.add_flood(AT_MS, Caller(ANONYMOUS, origin), Act("request:limit", "", outcome=FAILED, reason="many"))
        await log._flush()
        log.add_flood(
            AT_MS, Caller(ANONYMOUS, Origin("192.0.2.9", "", "")), Act("request:limit", "", outcome=FAILED, reason="")
        )
        await log.close()
        records = [json.loads(record) for record in written]
        assert [record.get("count", 1) for record in records] == [3, 3, 6, 1]
        assert records[-1]["address"] == "192.0.2.9"


@pytest.mark.anyio
async def test_floods_from_everywhere_end_in_one_record_and_closing_writes_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pulls, "FLOODS_MAX", 10)
    kept = Kept()
    log = PullLog(kept.write)
    for number in range(500):
        act = Act("login:token", "user:", outcome=FAILED, reason="too many")
        log.add_flood(AT_MS, Caller(ANONYMOUS, Origin(f"10.0.{number // 256}.{number % 256}", "", "")), act)
    await log.close()

    assert len(kept.records) <= 12
    assert sum(record.get("count", 1) for record in kept.records) == 500


async def test_other_acts_are_gathered_when_they_are_alike() -> None:
    kept = Kept()
    log = PullLog(kept.write)
    for number in range(6):
        act = Act("audit:read", "registry", detail={"filter": {"actor": f"local:user{number % 2}"}})
        log.add_act(AT_MS, Caller(ALICE, Origin("192.0.2.1", "curl", str(number))), act)
    await log.close()

    assert [record["count"] for record in kept.records] == [3, 3]
