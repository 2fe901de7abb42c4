"""Runs the official suite's program with every option switched on, and reads its reports."""

import re
from dataclasses import dataclass
from pathlib import Path
from subprocess import run
from xml.etree import ElementTree

from tests.peers.presence import require_go_tool
from tests.peers.process import COMMAND_SECONDS_MAX
from tests.peers.registry import Registry

APIS = (
    "PING",
    "PULL",
    "PUSH",
    "BLOBS_ATOMIC",
    "BLOBS_DELETE",
    "BLOBS_DIGEST_HEADER",
    "BLOBS_MOUNT_ANONYMOUS",
    "BLOBS_UPLOAD_CANCEL",
    "MANIFESTS_ATOMIC",
    "MANIFESTS_DELETE",
    "MANIFESTS_DIGEST_HEADER",
    "MANIFESTS_TAG_PARAM",
    "TAGS_ATOMIC",
    "TAGS_DELETE",
    "TAGS_LIST",
    "REFERRER",
)
DATA = (
    "IMAGE",
    "INDEX",
    "INDEX_LIST",
    "ARTIFACT",
    "SUBJECT",
    "SUBJECT_MISSING",
    "ARTIFACT_LIST",
    "SUBJECT_LIST",
    "DATA_FIELD",
    "NONDISTRIBUTABLE",
    "CUSTOM_FIELDS",
    "NO_LAYERS",
    "EMPTY_BLOB",
    "SHA512",
)
SPARSE = "SPARSE"

# How many rows the suite's table of results has; a row less is a part that was not run.
API_ROWS = 28
DATA_ROWS = 24

FAILURES_SHOWN_MAX = 15
EXCERPT_CHARACTERS_MAX = 3000


@dataclass(frozen=True)
class Outcome:
    """What the suite reported: a verdict for each API and each kind of data, and what failed."""

    apis: dict[str, str]
    data: dict[str, str]
    not_passed: list[str]

    def __str__(self) -> str:
        rows = self.apis | self.data
        table = [f"  {name}: {verdict}" for name, verdict in rows.items() if verdict != "Pass"]
        shown = self.not_passed[:FAILURES_SHOWN_MAX]
        more = len(self.not_passed) - len(shown)
        rest = [f"... and {more} more"] if more else []
        return "\n".join(["The suite's verdicts other than Pass:", *table, *shown, *rest])


def run_suite(registry: Registry, *, version: str, sparse: bool, repositories: str, results: Path) -> Outcome:
    """Run all of it against two new repositories, `repositories`/one and /two."""
    options = {f"OCI_API_{name}": "true" for name in APIS}
    options |= {f"OCI_DATA_{name}": "true" for name in DATA}
    options |= {
        "OCI_DATA_SPARSE": str(sparse).lower(),
        "OCI_VERSION": version,
        "OCI_REGISTRY": registry.host,
        "OCI_TLS": "enabled" if registry.certificate else "disabled",
        "OCI_REPO1": f"{repositories}/one",
        "OCI_REPO2": f"{repositories}/two",
        "OCI_USERNAME": registry.username,
        "OCI_PASSWORD": registry.password,
        "OCI_RESULTS_DIR": str(results),
    }
    if registry.certificate:
        options["SSL_CERT_FILE"] = str(registry.certificate.certificate)
    # It ends with an error if a test failed; what failed is in its reports.
    ended = run(
        [require_go_tool("conformance")],
        env=options,
        cwd=results.parent,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS_MAX,
        check=False,
    )
    if not (results / "results.yaml").exists():
        raise AssertionError(f"the suite wrote no results\n{ended.stdout}{ended.stderr}")
    verdicts = (results / "results.yaml").read_text()
    return Outcome(
        apis=_section(verdicts, "apis"),
        data=_section(verdicts, "data"),
        not_passed=_not_passed(results / "junit.xml"),
    )


def _section(results: str, name: str) -> dict[str, str]:
    """One of the two flat tables at the end of results.yaml."""
    lines = results.splitlines()
    verdicts = {}
    for line in lines[lines.index(f"{name}:") + 1 :]:
        row = re.fullmatch(r"  (.+): (\w+)", line)
        if row is None:
            break
        verdicts[row[1]] = row[2]
    return verdicts


def _not_passed(junit: Path) -> list[str]:
    """The single tests that did not pass, each with its errors and what was said over HTTP."""
    failures = []
    for case in ElementTree.parse(junit).iter("testcase"):
        if case.get("status") != "passed":
            name = case.get("name", "").removeprefix("OCI Conformance Test/")
            errors = case.findtext("system-out", "").strip()
            exchange = case.findtext("system-err", "").strip()
            if len(exchange) > EXCERPT_CHARACTERS_MAX:
                # The last exchange is the one that failed.
                exchange = f"[...]\n{exchange[-EXCERPT_CHARACTERS_MAX:]}"
            failures.append(f"\n##### {name}: {case.get('status')}\n{errors}\n{exchange}")
    return failures
