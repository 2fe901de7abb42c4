"""`entrepot audit …`: uses the API or the registry's database; `verify` needs only files."""

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from entrepot import settings as settings_module
from entrepot.audit import actions, chain, export, forward, heads, record, segments, witness
from entrepot.audit import verify as verification
from entrepot.audit.hashing import time_text
from entrepot.audit.query import Filter
from entrepot.audit.record import Act
from entrepot.audit.signing import key_id, load_public, public_pem
from entrepot.audit.witness import ChainBroken
from entrepot.cli import audit_log, direct
from entrepot.cli.audit_log import ActionOption, Actor, Address, Below, From, OfDigest, Outcome, Resource, To
from entrepot.cli.options import JSON, ConfigFile, Data
from entrepot.cli.output import confirm, data_to, line, page, say, show, show_one
from entrepot.cli.remote import CaFile, Url, connect, is_direct
from entrepot.cli.values import moment
from entrepot.clock import system_clock
from entrepot.database.database import Database
from entrepot.errors import Invalid

HASH_CHARACTERS_SHOWN = 16

app = typer.Typer(help="Read, export and verify the audit log.", no_args_is_help=True)


class Format(StrEnum):
    """The format of an export."""

    JSONL = "jsonl"
    CEF = "cef"


app.command("list")(audit_log.listing)


@app.command()
def verify(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Exports or archived segments, oldest first.")],
    key: Annotated[
        Path, typer.Option("--key", metavar="PEM", help="The public key, as `entrepot audit public-key` printed it.")
    ],
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="EXPORT|SEQ:HASH",
            help="An earlier export, or the number and hash of a record that you kept. The log must continue from it.",
        ),
    ] = None,
    json: JSON = False,
) -> None:
    """Verify exported files offline. Only the files and the public key are read."""
    public = load_public(key.read_bytes())
    known = _known(since, public) if since is not None else None
    whole = True
    rows: list[tuple[object, ...]] = []
    for path, report in verification.verify_files(files, public, known):
        whole = whole and report.whole
        rows += [(str(path), problem.line, problem.kind, problem.message) for problem in report.problems]
        if json:
            continue
        if report.whole:
            hidden = f", {report.hidden} of them hidden" if report.hidden else ""
            total = report.records + report.hidden
            numbers = f" ({report.first} to {report.last})" if total else ""
            line(
                f"{path}: intact, {total} records{numbers}{hidden}, signed heads: {report.heads}, "
                f"exported {report.closed_at}"
            )
        else:
            for problem in report.problems:
                line(f"{path}:{problem.line}: {problem.message}")
            if report.problems_count > len(report.problems):
                line(f"{path}: and {report.problems_count - len(report.problems)} more problems")
    if json:
        show(("file", "line", "kind", "message"), rows, json=True)
    if not whole:
        raise typer.Exit(1)


@app.command("export")
def export_command(
    data: Data = None,
    config: ConfigFile = None,
    url: Url = None,
    ca_file: CaFile = None,
    from_: From = None,
    to: To = None,
    actor: Actor = "",
    action: ActionOption = "",
    resource: Resource = "",
    below: Below = "",
    digest: OfDigest = "",
    address: Address = "",
    outcome: Outcome = "",
    format_: Annotated[Format, typer.Option("--format", help="Only jsonl can be verified.")] = Format.JSONL,
    output: Annotated[Path | None, typer.Option("--output", metavar="FILE", help="Write to this file.")] = None,
) -> None:
    """Export the log to standard output. A JSONL export keeps the hashes of records that the filter leaves out."""
    if not is_direct(url, data, config):
        asked = {
            "format": format_.value,
            "from": moment(from_),
            "to": moment(to),
            "actor": actor,
            "action": action,
            "resource": resource,
            "below": below.strip("/"),
            "digest": digest,
            "address": address,
            "outcome": outcome,
        }
        with connect(url, ca_file) as client:
            audit_log.export_from(client, asked, output)
        return
    settings = direct.load(data, config)
    wanted = Filter(
        actor=actor,
        action=action,
        resource=resource,
        below=below.strip("/"),
        digest=digest,
        address=address,
        outcome=outcome,
        from_ms=_time(from_),
        to_ms=_time(to),
    )
    keys = direct.keys_of(settings)

    async def write(database: Database, put: Callable[[bytes], object]) -> None:
        if format_ is Format.CEF:
            release = version("entrepot")
            async for records in export.records(database, wanted):
                put("".join(export.cef_line(found, release) + "\n" for found in records).encode())
            return
        async for lines in export.lines(
            database, witness.at(settings.keys_directory, keys.audit), wanted, system_clock
        ):
            put(lines)

    with data_to(output) as put:
        direct.work(settings, lambda database: write(database, put))


@app.command("public-key")
def public_key(url: Url = None, ca_file: CaFile = None, data: Data = None, config: ConfigFile = None) -> None:
    """Print the public key that verifies exports (PEM). Keep a copy where the registry's operators cannot change it."""
    if not is_direct(url, data, config):
        with connect(url, ca_file) as client:
            found = load_public(client.get("/audit/public-key")["public_key"].encode())
    else:
        settings = settings_module.load(config, overrides={"data": data})
        found = direct.keys_of(settings).audit.public_key()
    page(public_pem(found).rstrip("\n"))


@app.command("accept-restored")
def accept_restored(
    data: Data = None,
    config: ConfigFile = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Continue the audit log from the database's state, after you restored a backup on purpose.

    Run this once for each replica's keys directory. The log records who did it and which records are gone.
    """
    settings = direct.load(data, config)
    keys = direct.keys_of(settings)
    kept_here = witness.at(settings.keys_directory, keys.audit)
    if not yes and not confirm("Signed records that are not in the database are lost for good. Continue?"):
        raise Invalid("nothing was changed")

    async def run(database: Database) -> tuple[int, dict[str, object]]:
        try:
            kept = kept_here.read()
        except ChainBroken:
            kept = None
        before = {"signed_seq": kept["seq"], "signed_hash": kept["hash"]} if kept is not None else {}
        ends, _ = await database.read(chain.end)
        act = Act(actions.Action.AUDIT_ACCEPT_RESTORED, "registry", detail={**before, "database_seq": ends})
        await database.write(record.write, direct.composed_record(act))
        return await heads.accept(database, kept_here), before

    seq, before = direct.work(settings, run)
    had = f"; before, it was signed up to record {before['signed_seq']}" if before else ""
    say(f"the audit log continues from record {seq}, the last one signed in the database{had}")


@app.command()
def status(
    url: Url = None, ca_file: CaFile = None, data: Data = None, config: ConfigFile = None, json: JSON = False
) -> None:
    """Show up to which record the log is sealed, signed, archived and forwarded."""
    if not is_direct(url, data, config):
        with connect(url, ca_file) as client:
            show_one(client.get("/audit/status"), json=json)
        return
    settings = direct.load(data, config)
    keys = direct.keys_of(settings)

    async def collect(database: Database) -> list[tuple[str, object]]:
        kept = witness.at(settings.keys_directory, keys.audit).read()
        seq, hash_ = await database.read(chain.end)
        signed = await database.read(heads.last)
        archived = await database.read(segments.listing)
        rows: list[tuple[str, object]] = [
            ("records sealed", seq),
            # A row of the table has no room for all of it.
            ("hash of the last", hash_ if json else f"{hash_[:HASH_CHARACTERS_SHOWN]}…"),
            ("records pending", "yes" if await database.read(chain.is_pending) else "no"),
            ("signed up to", signed.seq if signed is not None else 0),
            ("signed at", time_text(signed.signed_at_ms) if signed is not None else None),
            ("kept outside up to", kept["seq"] if kept is not None else 0),
            ("key", key_id(keys.audit.public_key())),
            ("archived up to", archived[-1].last_seq if archived else 0),
            ("removed up to", max((segment.last_seq for segment in archived if segment.removed), default=0)),
        ]
        for cursor in await database.read(forward.cursors):
            rows.append((f"forwarded to {cursor.target} up to", cursor.seq))
            if cursor.error:
                rows.append((f"{cursor.target} fails", cursor.error))
        return rows

    show(("audit log", "value"), direct.work(settings, collect), json=json)


def _known(text: str, key: Ed25519PublicKey) -> verification.Known:
    """Parse what somebody kept of the log. Raises Invalid."""
    seq, _, hash_ = text.partition(":")
    if seq.isdecimal() and verification.is_hash(hash_):
        return verification.Known(int(seq), hash_, text)
    report = verification.verify(verification.read_lines(Path(text)), key)
    if not report.whole:
        raise Invalid(
            f"{text} is neither a record's number and hash nor an intact export: {report.problems[0].message}"
        )
    return verification.Known(report.last, report.hash, text)


def _time(text: str | None) -> int | None:
    """Parse a time; UTC unless it has a zone. Raises Invalid."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        # Beyond the first and the last day, it may be in no year at all in UTC.
        moment = moment.astimezone(UTC).replace(microsecond=moment.microsecond // 1000 * 1000)
    except (ValueError, OverflowError):
        raise Invalid(f"{text!r} is not a valid time: write it as 2026-11-25T10:00:00Z or 2026-11-25") from None
    return round(moment.timestamp() * 1000)
