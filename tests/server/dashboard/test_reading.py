import json
import shutil
from pathlib import Path

from server.dashboard.reading import Reading, read_last, read_on


def read_bit_by_bit(source: Path, target: Path, step: int) -> Reading:
    content, reading = source.read_bytes(), Reading()
    for end in range(step, len(content) + step, step):
        target.write_bytes(content[:end])
        reading = read_on(target, reading)
    return reading


def test_a_file_that_grows_is_read_as_a_whole_one(run_folder: Path, tmp_path: Path) -> None:
    events = run_folder / "events.jsonl"
    whole = read_on(events, Reading())
    for step in (977, 20011):
        found = read_bit_by_bit(events, tmp_path / "events.jsonl", step)
        assert (found.view, found.position, found.skipped) == (whole.view, whole.position, 0)
    assert whole.position == events.stat().st_size


def test_nothing_new_is_nothing_read(run_folder: Path) -> None:
    first = read_on(run_folder / "events.jsonl", Reading())
    assert read_on(run_folder / "events.jsonl", first) == first


def test_a_line_without_its_end_waits_for_it(run_folder: Path, tmp_path: Path) -> None:
    lines = (run_folder / "events.jsonl").read_bytes().splitlines(keepends=True)
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"".join(lines[:8]) + lines[8][:30])
    cut = read_on(path, Reading())
    assert (cut.skipped, cut.position) == (0, sum(map(len, lines[:8])))
    path.write_bytes(b"".join(lines[:9]))
    assert read_on(path, cut).position == sum(map(len, lines[:9]))


def test_lines_of_another_version_are_counted_and_passed_over(run_folder: Path, tmp_path: Path) -> None:
    lines = (run_folder / "events.jsonl").read_bytes().splitlines(keepends=True)
    strange = [b'{"event": "coffee"}\n', b"\n", b"[1]\n", b'{"time": "", "event": "reply", "more": 1}\n', b"\xff\n"]
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"".join([*lines[:2], *strange, *lines[2:]]))
    found, whole = read_on(path, Reading()), read_on(run_folder / "events.jsonl", Reading())
    assert found.view == whole.view
    assert found.skipped in (4, 5)  # a strange reply before its round's end is not read at all


def test_replies_of_a_round_under_way_are_read(run_folder: Path, tmp_path: Path) -> None:
    lines = (run_folder / "events.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "events.jsonl").write_bytes(b"".join(lines[:5]))  # begun, asked, three replies
    asking = read_on(tmp_path / "events.jsonl", Reading()).view.asking
    assert asking is not None
    assert sorted(asking.answers) == ["site-01", "site-02", "site-03"]


def test_a_folder_that_goes_keeps_what_was_read_and_comes_back(run_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder)
    first = read_on(folder / "events.jsonl", Reading())
    folder.rename(tmp_path / "away")
    gone = read_on(folder / "events.jsonl", first)
    assert (gone.is_there, gone.view) == (False, first.view)
    (tmp_path / "away").rename(folder)
    assert read_on(folder / "events.jsonl", gone) == first


def test_another_file_of_that_name_is_read_from_its_beginning(run_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    shutil.copy(run_folder / "events.jsonl", path)
    first = read_on(path, Reading())
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:9]))
    again = read_on(path, first)
    assert (again.view.done, first.view.done) == (1, 8)


def test_the_last_lines_say_how_far_a_run_is(run_folder: Path, tmp_path: Path) -> None:
    last = read_last(run_folder / "events.jsonl")
    assert (last.event, last.round, last.rounds) == ("run_finished", 8, 8)
    lines = (run_folder / "events.jsonl").read_bytes().splitlines(keepends=True)
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"".join(lines[:10]) + b'{"cut')
    found = read_last(path)
    assert (found.round, found.rounds) == (1, 8)
    assert found.pooled == json.loads(lines[7])["validation"]["pooled"]
    assert read_last(tmp_path / "nothing").event == ""
