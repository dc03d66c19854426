"""What happened is read back line by line, whatever is cut off, and says which version is promoted."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import SchemaError
from common.registry.history import (
    Current,
    Event,
    Kind,
    note,
    read_current,
    read_events,
    replay,
    write_current,
)

REASONS = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)
LINES = st.lists(
    st.tuples(st.sampled_from(["added", "promoted", "rolled back", "pruned"]), st.integers(1, 9), REASONS), max_size=6
)


@settings(max_examples=40)  # each line waits for the disk
@given(LINES, st.data())
def test_a_file_that_is_cut_off_loses_no_line_before(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[Kind, int, str]], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("history") / "history.jsonl"
    for event, version, reason in lines:
        note(path, event, version, reason)
    content = path.read_bytes() if lines else b""
    length = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:length])
    events, damaged = read_events(path)
    said = [(each.event, each.version, each.reason) for each in events]
    whole = content[:length].count(b"\n")
    assert said[:whole] == lines[:whole]
    assert len(said) + len(damaged) <= whole + 1

    note(path, "added", 7, "after the cut")
    assert read_events(path)[0][-1].reason == "after the cut"


def event(kind: Kind, version: int | None) -> Event:
    return Event("2026-01-01T00:00:00+00:00", kind, version, "")


@given(st.lists(st.integers(1, 4), max_size=12))
def test_rolling_back_undoes_promotions_one_by_one(numbers: list[int]) -> None:
    """The promoted versions are a stack: going back as often as was promoted goes through them in reverse."""
    distinct = [n for i, n in enumerate(numbers) if n not in numbers[:i]]
    current = replay(event("promoted", n) for n in distinct)
    for expected in reversed(distinct[:-1]):
        assert current.before[-1] == expected
        current = current.rolled_back(expected)
        assert current.version == expected
    assert current.before == ()


def test_what_is_neither_promoted_nor_rolled_back_changes_nothing() -> None:
    kinds: list[Kind] = ["promoted", "added", "pruned", "not used"]
    assert replay([event(kind, number) for number, kind in enumerate(kinds, start=1)]) == Current(1)


@settings(max_examples=40)
@given(st.none() | st.integers(1, 99), st.lists(st.integers(1, 99), max_size=3))
def test_the_promoted_version_is_read_as_written(
    tmp_path_factory: pytest.TempPathFactory, version: int | None, before: list[int]
) -> None:
    path = tmp_path_factory.getbasetemp() / "current.json"
    write_current(path, Current(version, tuple(before)))
    assert read_current(path) == Current(version, tuple(before))
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(SchemaError):
        read_current(path)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"format": 2, "version": 1, "before": []},
        {"format": 1, "version": 0, "before": []},
        {"format": 1, "version": True, "before": []},
        {"format": 1, "version": 1, "before": [None]},
        {"format": 1, "version": 1, "before": 3},
    ],
)
def test_what_names_no_version_is_damaged(tmp_path: Path, content: object) -> None:
    (tmp_path / "current.json").write_text(json.dumps(content))
    with pytest.raises(SchemaError):
        read_current(tmp_path / "current.json")


def test_no_file_names_none(tmp_path: Path) -> None:
    assert read_current(tmp_path / "current.json") is None
