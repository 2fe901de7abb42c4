"""Who did what is found in the audit log, exported and verified; a changed byte is noticed."""

import json
import time
from pathlib import Path

import httpx
import pytest

from tests.functional.repository import Repository
from tests.functional.setups import SetUp
from tests.peers.entrepot import PROGRAM
from tests.peers.process import run

POLLS_MAX = 200
POLL_SECONDS = 0.05


@pytest.fixture
def pushed(repository: Repository) -> str:
    """The digest of an image that was pushed and pulled."""
    digest = repository.push_image("v1").digest
    assert repository.manifest("v1").status_code == 200
    return digest


def export(set_up: SetUp, path: Path, *options: str) -> list[dict[str, object]]:
    """The records that are shown."""
    set_up.command("audit", "export", "--output", str(path), *options)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line["record"] for line in lines if line["type"] == "record"]


def public_key(set_up: SetUp, directory: Path) -> Path:
    path = directory / "audit-key.pem"
    path.write_text(set_up.command("audit", "public-key"))
    return path


def test_push_and_pull_are_found_exported_and_verified(
    set_up: SetUp, repository: Repository, pushed: str, tmp_path: Path
) -> None:
    found: list[object] = []
    for _ in range(POLLS_MAX):
        # Pulls are written within a second.
        records = export(set_up, tmp_path / "export.jsonl", "--resource", f"repository:{repository.name}")
        found = [record["action"] for record in records]
        if "manifest:pull" in found:
            break
        time.sleep(POLL_SECONDS)
    assert found.count("blob:push") == 2
    assert found.count("manifest:push") == 1
    assert "manifest:pull" in found
    assert {record["actor"] for record in records} == {"local:admin"}
    assert [record["digest"] for record in records if record["action"] == "manifest:push"] == [pushed]

    command = [PROGRAM, "audit", "verify", str(tmp_path / "export.jsonl"), "--key", str(public_key(set_up, tmp_path))]
    assert "intact" in run(command).stdout
    spoilt = (tmp_path / "export.jsonl").read_bytes().replace(b'"local:admin"', b'"local:admix"', 1)
    (tmp_path / "export.jsonl").write_bytes(spoilt)
    assert "was changed" in run(command, succeeds=False).stdout


def test_moved_tag_is_recorded_with_what_it_named(
    set_up: SetUp, repository: Repository, pushed: str, tmp_path: Path
) -> None:
    again = repository.push_image("v1").digest
    options = ("--resource", f"repository:{repository.name}", "--action", "tag:move")
    moved: list[dict[str, object]] = []
    for _ in range(POLLS_MAX):
        moved = export(set_up, tmp_path / "export.jsonl", *options)
        if moved:
            break
        time.sleep(POLL_SECONDS)
    assert [(record["digest"], record["detail"]) for record in moved] == [(again, {"tag": "v1", "from": pushed})]


def test_wrong_password_is_recorded_without_it(set_up: SetUp, tmp_path: Path) -> None:
    with httpx.Client(
        base_url=set_up.server.url, auth=("admin", "not-the-password-of-anybody"), trust_env=False
    ) as who:
        assert who.get("/v2/").status_code == 401
    records = export(set_up, tmp_path / "export.jsonl", "--outcome", "failed")

    assert any(record["address"] == "127.0.0.1" for record in records)
    content = (tmp_path / "export.jsonl").read_text()
    assert "not-the-password-of-anybody" not in content
    assert set_up.server.password not in content


def test_records_are_sealed_and_signed_by_themselves(set_up: SetUp, pushed: str) -> None:
    status: dict[str, object] = {}
    for _ in range(POLLS_MAX):
        status = {row["audit log"]: row["value"] for row in json.loads(set_up.command("audit", "status", "--json"))}
        if status["records pending"] == "no" and status["signed up to"]:
            break
        time.sleep(POLL_SECONDS)

    assert pushed
    assert status["records pending"] == "no"
    assert status["signed up to"]
    assert len(str(status["hash of the last"])) == 64


def test_records_are_exported_as_common_events(set_up: SetUp, pushed: str) -> None:
    printed = set_up.command("audit", "export", "--format", "cef", "--digest", pushed)

    assert printed.startswith("CEF:0|Entrepot|Entrepot|")
    assert f"cs2={pushed} cs2Label=digest" in printed


def test_time_that_is_none_is_refused(set_up: SetUp) -> None:
    set_up.command("audit", "export", "--from", "yesterday", succeeds=False)
