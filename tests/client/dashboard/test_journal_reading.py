from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client.dashboard.journal_reading import JournalReader, Reading, read_on
from client.journal import Entry, Journal

ENTRY = Entry("released", "east", "sha256:s", "r", 1, "train", None, 2, 40, "sha256:d", ["validation auroc"], [], 9)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl", durable=False, key=Ed25519PrivateKey.generate())


def rounds(reading: Reading) -> list[int]:
    return [line.round for line in reading.lines]


def write(journal: Journal, *numbers: int) -> None:
    for number in numbers:
        journal.append(Entry(**{**vars(ENTRY), "round": number}))


def test_only_what_is_new_is_read(journal: Journal) -> None:
    write(journal, 1, 2)
    first = read_on(journal.path, Reading())
    assert (rounds(first), first.skipped, first.position) == ([1, 2], 0, journal.path.stat().st_size)
    content = journal.path.read_bytes()
    journal.path.write_bytes(b"x" * (len(content) - 1) + b"\n")  # the same file; what was read is not looked at again
    assert read_on(journal.path, first).lines == first.lines
    journal.path.write_bytes(content)
    write(journal, 3)
    assert rounds(read_on(journal.path, first)) == [1, 2, 3]


def test_a_line_without_its_end_waits_for_it(journal: Journal) -> None:
    write(journal, 1, 2)
    whole = journal.path.read_bytes()
    for cut in range(1, 60):
        journal.path.write_bytes(whole[:-cut])
        found = read_on(journal.path, Reading())
        assert rounds(found) == [1]
        assert found.unfinished > 0
    journal.path.write_bytes(whole)
    assert rounds(read_on(journal.path, found)) == [1, 2]


def test_what_is_no_entry_is_counted_and_passed_over(journal: Journal) -> None:
    write(journal, 1)
    with journal.path.open("ab") as file:
        file.write(b'{"half\n[]\n\xff\n')
    write_after = Journal(journal.path, durable=False, key=journal.key)
    write(write_after, 2)
    found = read_on(journal.path, Reading())
    assert (rounds(found), found.skipped) == ([1, 2], 3)


@pytest.mark.parametrize(
    "rotate", [lambda path: path.rename(path.with_suffix(".old")), lambda path: path.write_bytes(b"")]
)
def test_a_journal_that_begins_anew_is_read_from_its_beginning(
    journal: Journal, rotate: Callable[[Path], object]
) -> None:
    write(journal, 1, 2)
    first = read_on(journal.path, Reading())
    rotate(journal.path)
    write(journal, 7)
    assert rounds(read_on(journal.path, first)) == [7]


def test_a_journal_that_is_gone_leaves_what_was_read(journal: Journal) -> None:
    reader = JournalReader(journal.path)
    assert reader.now() == Reading(is_there=False)
    write(journal, 1)
    assert rounds(reader.now()) == [1]
    content = journal.path.read_bytes()
    journal.path.unlink()
    gone = reader.now()
    assert (rounds(gone), gone.is_there) == ([1], False)
    journal.path.write_bytes(content)
    assert reader.now().is_there
    assert rounds(reader.now()) == [1]
