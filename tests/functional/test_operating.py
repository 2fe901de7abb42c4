"""What operators do beside a server that runs."""

import json
import re
import shlex
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from entrepot.telemetry.metrics import GATHER_SECONDS
from tests.conftest import StartEntrepot
from tests.functional.command_line import CommandLine
from tests.functional.people import API, People, new_namespace
from tests.functional.repository import LARGE_BYTES, SMALL_BYTES, Repository, digest_of, noise
from tests.functional.setups import SetUp
from tests.services.guide import code

CONNECTIONS = 16
"""So many that each worker gets one."""
TOLD_SECONDS_MAX = 10
OPEN = "[server]\npublic_metrics = true\npublic_api_document = true\n"


def test_server_is_alive_ready_and_counts(set_up: SetUp, anybody: httpx.Client, admin: httpx.Client) -> None:
    assert anybody.get("/healthz").json() == {"status": "alive"}
    checks = {"database": "ok", "storage reading": "ok", "storage writing": "ok", "maintenance": "ok"}
    assert anybody.get("/readyz").json() == {"status": "ready", "checks": checks}
    counts = admin.get("/metrics")
    assert 'entrepot_http_requests_total{method="GET",route="/readyz",status="200"}' in counts.text
    assert set_up.server.password not in counts.text


def _counted(client: httpx.Client) -> float:
    """Requests for /healthz that were answered by any worker, as this client's worker tells it."""
    name = 'entrepot_http_requests_total{method="GET",route="/healthz",status="200"}'
    found = [line for line in client.get("/metrics").text.splitlines() if line.startswith(name)]
    return sum(float(line.rpartition(" ")[2]) for line in found)


def test_each_worker_tells_what_all_have_answered(set_up: SetUp, admin: httpx.Client) -> None:
    time.sleep(2 * GATHER_SECONDS)  # What was asked before this test is told now.
    before = _counted(admin)
    for _ in range(CONNECTIONS):
        with set_up.server.client(anonymous=True) as client:
            assert client.get("/healthz").status_code == 200
    deadline = time.monotonic() + TOLD_SECONDS_MAX
    while _counted(admin) != before + CONNECTIONS:
        assert time.monotonic() < deadline, _counted(admin)
        time.sleep(GATHER_SECONDS)


def _told(client: httpx.Client, name: str) -> float:
    found = [line for line in client.get("/metrics").text.splitlines() if line.startswith(name + " ")]
    return sum(float(line.rpartition(" ")[2]) for line in found)


def test_metrics_tell_what_is_remembered(admin: httpx.Client, repository: Repository) -> None:
    pushed = repository.push_image("v1")
    found = 'entrepot_cache_lookups_total{found="yes",kind="content"}'
    before = _told(admin, found)
    for _ in range(CONNECTIONS):
        assert repository.manifest("v1").status_code == 200

    time.sleep(2 * GATHER_SECONDS)
    assert _told(admin, found) > before
    assert _told(admin, 'entrepot_cache_bytes{kind="content"}') > len(pushed.payload)
    assert _told(admin, 'entrepot_cache_bytes{kind="passwords"}') > 0


def _received(client: httpx.Client) -> float:
    (line,) = (
        line
        for line in client.get("/metrics").text.splitlines()
        if line.startswith("entrepot_blob_received_bytes_total")
    )
    return float(line.rpartition(" ")[2])


def test_bytes_of_blobs_are_counted_however_they_come(admin: httpx.Client, repository: Repository) -> None:
    before, sizes = _received(admin), (SMALL_BYTES, LARGE_BYTES)
    for size in sizes:
        repository.push_blob(noise(size))
        content = noise(size)
        assert repository.finish(repository.new_upload(), digest_of(content), content).status_code == 201
        content = noise(size)
        address = repository.new_upload()
        repository.send(address, content)
        assert repository.finish(address, digest_of(content)).status_code == 201

    assert _received(admin) >= before + 3 * sum(sizes)


def test_collecting_removes_nothing_that_is_needed(set_up: SetUp, repository: Repository) -> None:
    contents = [noise(size) for size in (SMALL_BYTES, LARGE_BYTES, LARGE_BYTES)]
    for content in contents:
        repository.push_blob(content)
    address = repository.new_upload()
    repository.send(address, contents[0] + contents[1])
    printed = json.loads(set_up.command("collect", "--json"))

    counts = {row["what"]: int(row["count"]) for row in printed}
    assert set(counts) == {
        "expired uploads",
        "expired tokens and failures",
        "users without access",
        "changes",
        "stored objects",
        "garbage newly listed",
        "garbage moved aside",
        "garbage moved back",
        "garbage removed",
    }
    assert counts["stored objects"] >= 2
    assert counts["garbage moved aside"] == counts["garbage removed"] == 0
    dry = json.loads(set_up.command("collect", "--dry-run", "--json"))
    assert {row["what"] for row in dry} < set(counts)
    for content in contents:
        assert repository.blob(digest_of(content)).content == content
    whole = contents[0] + contents[1] + contents[2]
    assert repository.finish(address, digest_of(whole), contents[2]).status_code == 201
    assert repository.blob(digest_of(whole)).content == whole


def test_commands_over_any_store_end_well(set_up: SetUp) -> None:
    """The threads of an object store's client must not meet an interpreter that ends: of many runs some would."""
    with ThreadPoolExecutor(6) as threads:
        for printed in threads.map(lambda _: set_up.command("collect", "--dry-run", "--json"), range(24)):
            assert json.loads(printed)


def test_schema_is_newest(set_up: SetUp) -> None:
    assert "already" in set_up.command("migrate")


def test_settings_are_shown_without_secrets(set_up: SetUp) -> None:
    printed = set_up.command("config", "show")
    settings = json.loads(printed)

    assert settings["storage"]["options"].get("secret_access_key", "********") == "********"
    assert set_up.server.password not in printed
    assert ":***@" in settings["database"]["url"] if set_up.redirects else settings["database"]["url"] == ""


def test_namespaces_are_listed(set_up: SetUp) -> None:
    set_up.command("namespace", "public", "listed/space")
    listed = json.loads(set_up.command("namespace", "list", "--json"))

    assert {"namespace": "listed/space", "public": True} in listed
    set_up.command("namespace", "inherit", "listed/space")


def test_many_clients_at_once(set_up: SetUp, repository: Repository) -> None:
    """Each with its own connection, image and tag; a layer that they share."""
    shared = noise(LARGE_BYTES)

    def story(number: int) -> bool:
        with set_up.server.client() as client:
            client.follow_redirects = True
            mine = repository.by(client)
            mine.push_blob(shared)
            pushed = mine.push_image(f"tag-{number}")
            return (
                mine.manifest(f"tag-{number}").content == pushed.payload
                and mine.blob(digest_of(shared)).content == shared
            )

    with ThreadPoolExecutor(12) as threads:
        assert all(threads.map(story, range(12)))
    assert len(repository.tags().json()["tags"]) == 12


def test_metrics_are_for_the_robot_of_the_guide(set_up: SetUp, tmp_path: Path) -> None:
    """Its commands are run, and its settings of Prometheus used, as they are."""
    shell = CommandLine(set_up, tmp_path)
    shell.sign_in("admin", set_up.server.password)
    for line in code("operating.md", "Health", "").splitlines():
        printed = shell.run(*shlex.split(line)[1:]).stdout
    (name,) = re.findall(r'username: "([^"]+)"', code("operating.md", "Health", "yaml"))

    with set_up.server.client(anonymous=True) as scraper:
        scraper.auth = (name, printed.split()[-1])
        assert set_up.soon(lambda: scraper.get("/metrics").status_code == 200)
        assert "entrepot_http_requests_total" in scraper.get("/metrics").text
        assert scraper.get(f"{API}/users").status_code == 403


def test_metrics_are_for_auditors_of_the_registry(people: People) -> None:
    assert people.with_role("auditor", "registry").client.get("/metrics").status_code == 200
    assert people.with_role("auditor", "namespace", new_namespace()).client.get("/metrics").status_code == 403
    assert people.person().client.get("/metrics").status_code == 403


def test_metrics_and_the_document_are_for_everybody_where_a_setting_says_so(start_entrepot: StartEntrepot) -> None:
    paths = ("/metrics", f"{API}/openapi.json")
    closed, opened = start_entrepot(), start_entrepot(config=OPEN)
    for server, status in ((closed, 401), (opened, 200)):
        with server.client(anonymous=True) as client:
            assert [client.get(path).status_code for path in paths] == [status, status]


def test_headers_of_a_proxy_that_nobody_trusts_are_warned_of_once(start_entrepot: StartEntrepot) -> None:
    """They change nothing, and the operator learns which setting would let them."""
    server = start_entrepot(workers=1)
    with server.client(anonymous=True) as client:
        for _ in range(3):
            answer = client.get("/v2/", headers={"x-forwarded-for": "192.0.2.1", "x-forwarded-proto": "https"})
            assert f'realm="{server.url}/token"' in answer.headers["www-authenticate"]
    lines = server.log_path.read_text().splitlines()
    for header in ("X-Forwarded-For", "X-Forwarded-Proto"):
        (warning,) = (line for line in lines if header in line)
        assert "server.trusted_proxies" in warning
