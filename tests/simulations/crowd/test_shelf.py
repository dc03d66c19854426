"""A crowd's records: each process writes its own files, all read all, and of training rounds the last two are kept."""

from pathlib import Path

import numpy as np

from simulations.crowd.shelf import SCORES, Chapter, Shelf


def chapter(number: int, kind: str = "train") -> Chapter:
    return Chapter("run-1", kind, number)


def write(shelf: Shelf, number: int, site: str, value: float = 0.0) -> None:
    shelf.write(chapter(number), site, {"value": value}, {"x": np.float64([value])})


def value(shelf: Shelf, number: int, site: str) -> float | None:
    found = shelf.read(chapter(number), site)
    if found is None:
        return None
    assert found.tensors["x"][0] == found.about["value"]
    return float(found.about["value"])


def test_what_one_process_wrote_another_reads_also_while_both_go_on(tmp_path: Path) -> None:
    first, second = Shelf(tmp_path), Shelf(tmp_path)
    write(first, 1, "east", 1.0)
    write(second, 1, "west", 2.0)
    assert (value(first, 1, "west"), value(second, 1, "east")) == (2.0, 1.0)
    write(first, 1, "north", 3.0)
    second.look()
    assert second.rounds("run-1", "train", "north") == [1]
    assert value(second, 1, "north") == 3.0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0001", "0002"]


def test_a_torn_record_is_none_and_a_later_process_writes_it_anew(tmp_path: Path) -> None:
    killed = Shelf(tmp_path)
    write(killed, 1, "east", 1.0)
    write(killed, 1, "west", 2.0)
    (file,) = tmp_path.glob("*/*/*")
    file.write_bytes(file.read_bytes()[:-3])
    resumed = Shelf(tmp_path)
    assert (value(resumed, 1, "east"), value(resumed, 1, "west")) == (1.0, None)
    write(resumed, 1, "west", 4.0)
    assert value(Shelf(tmp_path), 1, "west") == 4.0


def test_the_last_two_training_rounds_are_kept_and_everything_else(tmp_path: Path) -> None:
    shelf, other = Shelf(tmp_path), Shelf(tmp_path)
    write(other, 1, "west")
    for number in range(1, 6):
        write(shelf, number, "east", float(number))
        shelf.write(chapter(number, "evaluate"), "east", {}, {})
    shelf.write(chapter(0, SCORES), "east", {}, {})
    for known in (shelf, Shelf(tmp_path)):
        assert known.rounds("run-1", "train", "east") == [4, 5]
        assert known.rounds("run-1", "train", "west") == []
        assert known.rounds("run-1", "evaluate", "east") == [1, 2, 3, 4, 5]
        assert known.newest("run-1", "train") == 5
    assert value(shelf, 4, "east") == 4.0
    assert sorted(path.name for path in tmp_path.glob("*/*/train-*")) == [
        "train-000004.records",
        "train-000005.records",
    ]


def test_a_shelf_holds_open_no_more_files_than_it_writes(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    for number in range(1, 50):
        write(shelf, number, "east")
    assert len(shelf._open) == 1
