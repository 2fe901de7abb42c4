"""Whatever is done to an export is found, and named where the chain still tells."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot.audit.hashing import canonical
from entrepot.audit.verify import FileUnreadable, Report, read_lines, verify, verify_files
from tests.unit.audit.chains import KEY, OTHER_KEY, chained, exported, head, record

PUBLIC = KEY.public_key()
FOUND = chained(record(number) for number in range(1, 9))
WHOLE = exported(FOUND, heads=[3, 8])
"""Header, records 1 to 3, head, records 4 to 8, head, closing line."""
FILTERED = exported(FOUND, hidden=[2, 3, 6, 8], heads=[3, 6])
LINES = {
    "header": 0,
    "record 1": 1,
    "record 2": 2,
    "record 3": 3,
    "head 3": 4,
    "record 4": 5,
    "record 5": 6,
    "closing": 11,
}


def problems(lines: list[bytes]) -> list[tuple[str, str]]:
    return [(problem.kind, problem.message) for problem in verify(lines, PUBLIC).problems]


def changed(lines: list[bytes], line: int, old: bytes, new: bytes) -> list[bytes]:
    assert old in lines[line]
    return [*lines[:line], lines[line].replace(old, new), *lines[line + 1 :]]


def without(lines: list[bytes], *removed: int) -> list[bytes]:
    return [line for number, line in enumerate(lines) if number not in removed]


def test_whole_export_has_no_problems() -> None:
    report = verify(WHOLE, PUBLIC)

    assert report.whole, report.problems
    assert (report.first, report.last, report.records, report.hidden, report.heads) == (1, 8, 8, 0, 2)
    assert report.hash == FOUND[-1].hash
    assert report.closed_at == "2023-11-14T22:13:20.123Z"


def test_filtered_export_has_no_problems_and_does_not_tell_what_is_hidden() -> None:
    report = verify(FILTERED, PUBLIC)

    assert report.whole, report.problems
    assert (report.records, report.hidden, report.heads) == (4, 4, 2)
    assert b"ldap:bob" not in b"".join(exported(FOUND, hidden=[2, 4, 6, 8]))


def test_export_from_the_middle_of_the_chain_has_no_problems() -> None:
    report = verify(exported(FOUND[4:], previous=FOUND[3].hash), PUBLIC)

    assert report.whole
    assert (report.first, report.last) == (5, 8)


def test_export_of_nothing_has_no_problems() -> None:
    report = verify(exported([]), PUBLIC)

    assert report.whole
    assert report.records == 0


def test_changed_record_is_named() -> None:
    found = problems(changed(WHOLE, LINES["record 2"], b"ldap:bob", b"ldap:eve"))

    assert found == [("changed", "record 2 was changed, or its hash was")]


def test_changed_hash_is_named() -> None:
    old = FOUND[1].hash.encode()
    found = problems(changed(WHOLE, LINES["record 2"], old, b"0" * 64))

    assert found[0] == ("changed", "record 2 was changed, or its hash was")


def test_changed_hidden_record_is_named_with_its_neighbours() -> None:
    line = next(number for number, line in enumerate(FILTERED) if b'"hidden"' in line)
    old = FILTERED[line].partition(b'"record_hash":"')[2][:1]
    found = problems(
        changed(FILTERED, line, b'"record_hash":"' + old, b'"record_hash":"' + (b"0" if old != b"0" else b"1"))
    )

    assert [kind for kind, _ in found] == ["changed"]
    assert "record 2 on" in found[0][1]


def test_removed_record_is_named() -> None:
    assert problems(without(WHOLE, LINES["record 4"]))[0] == (
        "removed",
        "record 4 is missing before record 5: removed or moved",
    )


def test_removed_records_are_named() -> None:
    found = problems(without(WHOLE, LINES["record 1"], LINES["record 2"]))

    assert found[0] == ("removed", "records 1 to 2 are missing before record 3: removed or moved")


def test_inserted_record_is_named() -> None:
    forged = chained([record(99)], first=5, previous=FOUND[3].hash)
    line = b'{"hash":"%b","record":%b,"seq":5,"type":"record"}\n' % (forged[0].hash.encode(), forged[0].record.encode())
    found = problems([*WHOLE[:6], line, *WHOLE[6:]])

    assert ("inserted", "record 5 is repeated after record 5: it was inserted") in found


def test_reordered_records_are_named() -> None:
    lines = list(WHOLE)
    lines[1], lines[2] = lines[2], lines[1]
    found = problems(lines)

    assert ("moved", "record 1 is not in its place: it comes after record 2") in found


def test_cut_at_the_start_is_named() -> None:
    assert problems(WHOLE[1:])[0][0] == "cut"
    assert problems(WHOLE[3:])[0][0] == "cut"


@pytest.mark.parametrize("kept", [1, 4, 10, 11])
def test_cut_at_the_end_is_named(kept: int) -> None:
    assert problems(WHOLE[:kept])[-1] == ("cut", "the closing line is missing: the end of the file was cut off")


def test_file_without_a_byte_is_cut() -> None:
    assert problems([]) == [("cut", "the file is empty")]


def test_records_cut_before_the_closing_line_are_named() -> None:
    found = problems(without(WHOLE, 8, 9, 10))

    assert found[0] == ("removed", "records 7 to 8 are missing before record 9: removed or moved")


def test_removed_head_is_found() -> None:
    found = problems(without(WHOLE, LINES["head 3"]))

    assert found == [("changed", "the header or the signed heads were changed: the records themselves are intact")]


def test_another_key_is_named() -> None:
    report = verify(WHOLE, OTHER_KEY.public_key())

    assert {problem.kind for problem in report.problems} == {"key"}


def test_chain_hashed_anew_is_found_by_the_heads() -> None:
    """Somebody with the database, but without the key, writes all hashes from a changed record on."""
    forged = chained(
        [*(record(n) for n in (1, 2)), record(3, actor="local:mallory"), *(record(n) for n in range(4, 9))]
    )
    lines = exported(forged)
    genuine = canonical(head(FOUND[2])) + b"\n"
    found = problems([*lines[:4], genuine, *lines[4:]])

    assert found[0][0] == "changed"
    assert "hashed again" in found[0][1]


def test_forged_closing_line_is_found() -> None:
    lines = exported(chained(record(n, actor="local:mallory") for n in range(1, 4)), key=OTHER_KEY)

    assert {kind for kind, _ in problems(lines)} == {"key"}


def test_closing_line_of_another_export_is_found() -> None:
    shorter = exported(FOUND[:7])

    assert problems([*WHOLE[:-1], shorter[-1]])
    assert problems([*shorter[:-1], WHOLE[-1]])


def test_line_after_the_closing_one_is_found() -> None:
    assert problems([*WHOLE, WHOLE[3]]) == [("inserted", "there is more after the closing line")]


WHOLE_TEXT, FILTERED_TEXT = b"".join(WHOLE), b"".join(FILTERED)


@settings(max_examples=400, deadline=None)
@given(
    text=st.sampled_from([WHOLE_TEXT, FILTERED_TEXT]),
    position=st.integers(0, 10**6),
    byte=st.integers(0, 255),
)
def test_every_changed_byte_is_found(text: bytes, position: int, byte: int) -> None:
    position %= len(text)
    if text[position] != byte:
        spoilt = text[:position] + bytes([byte]) + text[position + 1 :]
        assert not verify(spoilt.splitlines(keepends=True), PUBLIC).whole


@settings(max_examples=200, deadline=None)
@given(text=st.sampled_from([WHOLE_TEXT, FILTERED_TEXT]), position=st.integers(0, 10**6), data=st.data())
def test_every_removed_or_added_piece_is_found(text: bytes, position: int, data: st.DataObject) -> None:
    position %= len(text)
    length = data.draw(st.integers(0, min(2000, len(text) - position)))
    added = data.draw(st.binary(max_size=20))
    spoilt = text[:position] + added + text[position + length :]
    if spoilt != text:
        assert not verify(spoilt.splitlines(keepends=True), PUBLIC).whole


@settings(max_examples=200, deadline=None)
@given(lines=st.sampled_from([WHOLE, FILTERED]), data=st.data())
def test_every_removal_repetition_and_exchange_of_lines_is_found(lines: list[bytes], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(lines), max_size=len(lines) + 2))
    if chosen != lines:
        assert not verify(chosen, PUBLIC).whole
    order = data.draw(st.permutations(lines))
    if order != lines:
        assert not verify(order, PUBLIC).whole


def test_every_single_line_that_is_removed_repeated_or_exchanged_is_found() -> None:
    for lines in (WHOLE, FILTERED):
        for number in range(len(lines)):
            assert not verify(without(lines, number), PUBLIC).whole
            assert not verify([*lines[: number + 1], *lines[number:]], PUBLIC).whole
            for other in range(number):
                exchanged = list(lines)
                exchanged[number], exchanged[other] = exchanged[other], exchanged[number]
                assert not verify(exchanged, PUBLIC).whole


@settings(max_examples=100, deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=5), st.integers() | st.floats() | st.text() | st.none()), max_size=5))
def test_any_record_can_be_exported(values: list[dict[str, object]]) -> None:
    made = []
    for number, detail in enumerate(values):
        try:
            made.append(record(number, detail=detail))
            canonical(made[-1])
        except TypeError:  # An integer of more than 64 bits, or half a character: no JSON of ours.
            made.pop()
    lines = exported(chained(made))

    assert verify(lines, PUBLIC).whole


# Files.


def written(path: Path, lines: list[bytes], *, packed: bool = False) -> Path:
    path.write_bytes(gzip.compress(b"".join(lines)) if packed else b"".join(lines))
    return path


def reports(*paths: Path) -> list[Report]:
    return [report for _, report in verify_files(paths, PUBLIC)]


def test_files_that_follow_one_another_are_whole(tmp_path: Path) -> None:
    one = written(tmp_path / "1.jsonl.gz", exported(FOUND[:4]), packed=True)
    two = written(tmp_path / "2.jsonl", exported(FOUND[4:], previous=FOUND[3].hash))

    assert all(report.whole for report in reports(one, two))


def test_missing_file_in_a_row_of_files_is_found(tmp_path: Path) -> None:
    one = written(tmp_path / "1", exported(FOUND[:2]))
    three = written(tmp_path / "3", exported(FOUND[4:], previous=FOUND[3].hash))
    found = reports(one, three)[1].problems

    assert [problem.kind for problem in found] == ["gap"]


def test_file_of_another_chain_in_a_row_of_files_is_found(tmp_path: Path) -> None:
    other = chained(record(n, actor="local:other") for n in range(1, 9))
    one = written(tmp_path / "1", exported(FOUND[:4]))
    two = written(tmp_path / "2", exported(other[4:], previous=other[3].hash))

    assert [problem.kind for problem in reports(one, two)[1].problems] == ["gap"]


def test_packed_file_that_is_damaged_is_found(tmp_path: Path) -> None:
    path = written(tmp_path / "1.gz", WHOLE, packed=True)
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], content[:200] + b"\0\0\0\0" + content[204:]):
        path.write_bytes(damaged)
        assert not reports(path)[0].whole


def test_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadable):
        list(read_lines(tmp_path / "missing"))


def test_line_without_end_takes_no_memory_without_end(tmp_path: Path) -> None:
    path = tmp_path / "long"
    path.write_bytes(b"x" * (9 * 1024 * 1024))

    assert max(map(len, read_lines(path))) <= 4 * 1024 * 1024
    assert not reports(path)[0].whole
