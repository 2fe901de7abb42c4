"""Verifies exported files with nothing but the public key, in memory that does not grow with them. Needs no database.

What it says is as precise as what is left of the chain allows: a record that was changed, removed, inserted or moved is
named by its number. Whatever the records do not show (a changed header, a removed head), the closing line does.
"""

import gzip
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from entrepot.audit.hashing import FORMAT, canonical, hash_of, link
from entrepot.audit.signing import is_signed, key_id
from entrepot.errors import Invalid

LINE_BYTES_MAX = 4 * 1024 * 1024
PROBLEMS_MAX = 50
"""More are only counted."""
MISSING_MAX = 10_000
"""Ranges of numbers that are remembered as missing, to tell a record that was moved from one that was inserted."""
GZIP_BEGINNING = b"\x1f\x8b"

_HEX_CHARACTERS = 64


class FileUnreadable(Invalid):
    """It cannot be opened at all."""

    code = "file_unreadable"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and at which line of the file."""

    line: int
    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class Known:
    """The hash that a record had when somebody kept it, and where that was."""

    seq: int
    hash: str
    source: str


@dataclass(slots=True)
class Report:
    """What a file holds, and what is wrong with it. `hash` is that of its last record."""

    first: int = 0
    last: int = 0
    previous: str = ""
    hash: str = ""
    records: int = 0
    hidden: int = 0
    heads: int = 0
    closed_at: str = ""
    problems: list[Problem] = field(default_factory=list)
    problems_count: int = 0

    @property
    def whole(self) -> bool:
        return not self.problems_count


def verify_files(
    paths: Sequence[Path], key: Ed25519PublicKey, known: Known | None = None
) -> Iterator[tuple[Path, Report]]:
    """Verify each file, that each goes on where the one before it ends, and that what is known is still so.

    Raises FileUnreadable.
    """
    before: Report | None = None
    for position, path in enumerate(paths):
        report = verify(read_lines(path), key, known)
        if before is not None:
            _check_continues(before, report)
        if known is not None:
            if position == 0 and report.first > known.seq + 1:
                between = f"it begins with record {report.first}, and {known.source} ends with record {known.seq}"
                _add(report, 1, "gap", f"{between}: what is between them is missing")
            if position == len(paths) - 1 and report.last < known.seq:
                gone = f"records {report.last + 1} to {known.seq} are missing at the end"
                _add(report, 1, "removed", f"{gone}: {known.source} had them, so an older log was restored")
        yield path, report
        before = report


def verify(lines: Iterable[bytes], key: Ed25519PublicKey, known: Known | None = None) -> Report:
    """Verify the lines of one file, each with its line end."""
    verifier = _Verifier(key, known)
    try:
        for line in lines:
            verifier.line(line)
    except (OSError, EOFError, zlib.error) as error:
        verifier.problem("damaged", f"the file cannot be read any further: {error}")
    return verifier.end()


def read_lines(path: Path) -> Iterator[bytes]:
    """A file's lines, unpacked if it is packed with gzip. What is no line in any file comes in pieces.

    Raises FileUnreadable, and what gzip raises when what it has to unpack is damaged."""
    try:
        with path.open("rb") as plain:
            packed = plain.peek(2).startswith(GZIP_BEGINNING)
            file = gzip.GzipFile(fileobj=plain) if packed else plain
            while line := file.readline(LINE_BYTES_MAX):
                yield line
    except FileNotFoundError as error:
        raise FileUnreadable(f"{path} cannot be read: {error.strerror}") from error


def _check_continues(before: Report, report: Report) -> None:
    if report.first != before.last + 1:
        between = f"it begins with record {report.first}, and the file before it ends with record {before.last}"
        _add(report, 1, "gap", f"{between}: a file is missing, or they are in another order")
    elif report.previous != before.hash:
        _add(report, 1, "gap", f"it does not continue the file before it, where record {before.last} had another hash")


def _add(report: Report, line: int, kind: str, message: str) -> None:
    report.problems_count += 1
    if len(report.problems) < PROBLEMS_MAX:
        report.problems.append(Problem(line, kind, message))


class _Verifier:
    """What is known after each line."""

    def __init__(self, key: Ed25519PublicKey, known: Known | None) -> None:
        self._key = key
        self._known = known
        self._key_id = key_id(key)
        self._report = Report()
        self._digest = sha256()
        self._number = 0
        self._header_seen = False
        self._closed = False
        self._expected = 0
        """The number of the next record."""
        self._hash = ""
        self._certain = True
        """Whether the hash is known of the record before the next one."""
        self._stated_at = 0
        """The newest record whose hash is stated in the file, not computed from what may have been changed."""
        self._missing: list[tuple[int, int]] = []

    def problem(self, kind: str, message: str) -> None:
        _add(self._report, self._number, kind, message)

    def line(self, line: bytes) -> None:
        self._number += 1
        if self._closed:
            self.problem("inserted", "there is more after the closing line")
            return
        parsed = self._parsed(line)
        kind = parsed.get("type") if parsed is not None else None
        if kind == "closing" and parsed is not None:
            self._closing(parsed)
            return
        self._digest.update(line)
        if self._number == 1:
            if kind != "header":
                self.problem("cut", "the file does not begin with a header: its beginning was cut off or moved")
                self._begin_anywhere(parsed)
            elif parsed is not None:
                self._header(parsed)
                return
        if parsed is None:
            return
        if kind in {"record", "hidden"}:
            self._record(parsed, kind)
        elif kind == "head":
            self._head(parsed)
        elif kind == "header":
            self.problem("inserted", "there is a header in the middle of the file")
        else:
            self.problem("changed", "this line does not belong to an audit log")

    def end(self) -> Report:
        if self._number == 0:
            self.problem("cut", "the file is empty")
        elif not self._closed:
            self.problem("cut", "the closing line is missing: the end of the file was cut off")
        return self._report

    def _parsed(self, line: bytes) -> dict[str, Any] | None:
        """None for what no export has written like this."""
        try:
            parsed = orjson.loads(line)
            if isinstance(parsed, dict) and canonical(parsed) + b"\n" == line:
                return parsed
        except ValueError:
            pass
        ended = "" if line.endswith(b"\n") else ", or cut off"
        # A record whose line was spoilt is still that record: the next one is not to be called displaced.
        where = f" (record {self._expected} is expected here)" if self._expected else ""
        self.problem("changed", f"this line was changed{ended}: an export does not write it like this{where}")
        self._certain = False
        return None

    def _header(self, header: dict[str, Any]) -> None:
        if header.get("format") != FORMAT:
            self.problem("format", f"the format is {header.get('format')!r}, but this program knows only {FORMAT}")
        first, last, previous = header.get("first"), header.get("last"), header.get("previous")
        if not isinstance(first, int) or not isinstance(last, int) or not is_hash(previous):
            self.problem("changed", "the header was changed: it does not say which records follow")
            self._certain = False
            return
        if header.get("key_id") != self._key_id:
            self.problem(
                "key", f"the file is signed with the key {header.get('key_id')}, but the key given is {self._key_id}"
            )
        self._header_seen = True
        self._report.first, self._report.last, self._report.previous = first, last, str(previous)
        self._expected, self._stated_at = first, first - 1
        self._hash = self._report.hash = str(previous)
        self._compare_with_known(first - 1)

    def _begin_anywhere(self, parsed: dict[str, Any] | None) -> None:
        """Go on without a header, so that what else is wrong is found as well."""
        seq = parsed.get("seq") if parsed is not None else None
        self._expected = seq if isinstance(seq, int) else 0
        self._report.first = self._expected
        self._certain = False

    def _record(self, line: dict[str, Any], kind: str) -> None:
        seq = line.get("seq")
        if not isinstance(seq, int) or isinstance(seq, bool):
            self.problem("changed", f"a record without a number, where record {self._expected} is expected")
            self._certain = False
            return
        if not self._is_in_place(seq):
            return
        if kind == "hidden":
            self._hidden(line, seq)
        else:
            self._shown(line, seq)
        self._expected = seq + 1
        self._report.hash = self._hash
        self._compare_with_known(seq)

    def _compare_with_known(self, seq: int) -> None:
        known = self._known
        if known is not None and seq == known.seq and self._certain and self._hash != known.hash:
            self.problem(
                "changed", f"{known.source} had another hash for record {seq}: the log up to there was replaced"
            )

    def _is_in_place(self, seq: int) -> bool:
        if seq > self._expected:
            if self._certain or self._expected == 0:
                self._gone(self._expected, seq - 1)
            elif seq > self._expected + 1:
                # One of them is the line that was spoilt.
                self._gone(self._expected + 1, seq - 1)
            self._certain = False
        elif seq < self._expected:
            if self._found(seq):
                self.problem("moved", f"record {seq} is not in its place: it comes after record {self._expected - 1}")
            else:
                self.problem("inserted", f"record {seq} is repeated after record {self._expected - 1}: it was inserted")
            return False
        return True

    def _gone(self, first: int, last: int) -> None:
        if len(self._missing) < MISSING_MAX:
            self._missing.append((first, last))
        named = f"record {first} is" if first == last else f"records {first} to {last} are"
        self.problem("removed", f"{named} missing before record {last + 1}: removed or moved")

    def _found(self, seq: int) -> bool:
        """Whether this record was missed before; it is not any more."""
        for position, (first, last) in enumerate(self._missing):
            if first <= seq <= last:
                self._missing[position : position + 1] = [
                    rest for rest in ((first, seq - 1), (seq + 1, last)) if rest[0] <= rest[1]
                ]
                return True
        return False

    def _shown(self, line: dict[str, Any], seq: int) -> None:
        self._report.records += 1
        record, stated = line.get("record"), line.get("hash")
        if not isinstance(record, dict) or not is_hash(stated) or len(line) != 4:
            self.problem("changed", f"record {seq} was changed: an export does not write it like this")
            self._certain = False
            return
        if self._certain and link(self._hash, hash_of(canonical(record)), seq) != stated:
            if self._stated_at == seq - 1:
                self.problem("changed", f"record {seq} was changed, or its hash was")
            else:
                since = self._stated_at + 1
                self.problem("changed", f"one of the records {since} to {seq} was changed (some of them are hidden)")
        self._hash = str(stated)
        self._certain, self._stated_at = True, seq

    def _hidden(self, line: dict[str, Any], seq: int) -> None:
        self._report.hidden += 1
        record_hash = line.get("record_hash")
        if not is_hash(record_hash) or len(line) != 3:
            self.problem("changed", f"the hidden record {seq} was changed: an export does not write it like this")
            self._certain = False
            return
        if self._certain:
            self._hash = link(self._hash, str(record_hash), seq)

    def _head(self, head: dict[str, Any]) -> None:
        seq = head.get("seq")
        if seq != self._expected - 1:
            self.problem(
                "moved", f"the signed head of record {seq} does not follow that record: it was moved or inserted"
            )
            return
        if not self._is_ours(head, f"the signed head of record {seq}"):
            return
        self._report.heads += 1
        self._compare(head, f"the head that was signed at {head.get('time')}")

    def _compare(self, signed: dict[str, Any], what: str) -> None:
        """Hold what was signed against the chain as it is in the file."""
        if self._certain and signed.get("hash") != self._hash:
            since = self._stated_at + 1 if self._stated_at < self._expected - 1 else self._report.first
            self.problem(
                "changed",
                f"{what} does not match the records up to {self._expected - 1}: "
                f"something from record {since} on was changed and hashed again",
            )
        self._hash = str(signed.get("hash"))
        self._certain, self._stated_at = True, self._expected - 1

    def _closing(self, closing: dict[str, Any]) -> None:
        self._closed = True
        if not self._is_ours(closing, "the closing line"):
            return
        report = self._report
        report.closed_at = str(closing.get("time"))
        last = closing.get("seq")
        if isinstance(last, int) and last >= self._expected and self._expected:
            self._gone(self._expected, last)
            self._certain = False
        elif last != self._expected - 1 and self._expected:
            self.problem("inserted", f"the export ended with record {last}, but there are more after it")
        if not self._header_seen:
            report.last = self._expected - 1
        elif report.last != last:
            self.problem("changed", f"the header was changed: it says that record {report.last} is the last")
        if self._certain:
            self._compare(closing, "the closing line")
            report.hash = self._hash
        if closing.get("count") != report.records:
            self.problem(
                "removed", f"the export contained {closing.get('count')} records, but this file has {report.records}"
            )
        if closing.get("lines") != self._digest.hexdigest() and not report.problems_count:
            self.problem("changed", "the header or the signed heads were changed: the records themselves are intact")

    def _is_ours(self, signed: dict[str, Any], what: str) -> bool:
        if signed.get("key_id") != self._key_id:
            self.problem(
                "key", f"{what} is signed with the key {signed.get('key_id')}, but the key given is {self._key_id}"
            )
            return False
        if not is_signed(self._key, signed):
            self.problem("signature", f"the signature of {what} is not valid: it was changed or made by somebody else")
            return False
        return True


def is_hash(value: object) -> bool:
    """Whether this is written as a hash is."""
    return isinstance(value, str) and len(value) == _HEX_CHARACTERS and all(c in "0123456789abcdef" for c in value)
