import csv
from collections import Counter
from pathlib import Path

from simulations.builtin_rows import quick
from simulations.builtin_rows.quick_notes import OLD, REPLIES, rows, write


def test_every_note_of_quick_has_the_reply_that_its_signs_and_age_ask_for() -> None:
    for row, source in zip(rows(), quick.rows(), strict=True):
        assert [row[name] for name in ("site", "patient", "note")] == [source[n] for n in ("site", "patient", "note")]
        infection = sum(sign in row["note"] for sign in quick.SIGNS["yes"]) >= 2
        assert row["reply"].startswith(REPLIES["yes" if infection else "no"])
        assert ("keep in hospital" in row["reply"]) == (int(row["age"]) >= OLD)


def test_no_reply_is_so_common_that_it_could_be_learned_by_rote() -> None:
    counts = Counter(row["reply"] for row in rows())
    assert len(counts) == 4
    assert max(counts.values()) < len(rows()) / 2


def test_the_rows_are_written_as_they_are(tmp_path: Path) -> None:
    with write(tmp_path).open(newline="") as file:
        assert list(csv.DictReader(file)) == rows()
