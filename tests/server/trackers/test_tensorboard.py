"""Event files: TensorBoard's own reader finds the figures of the run, none twice, whatever was left behind."""

import csv
from pathlib import Path

import pytest

from server.trackers.csv import FILE
from server.trackers.tensorboard import FOLDER, written_in
from server.tracking.destination import destination
from server.tracking.keeping_up import KeepingUp

Scalars = dict[tuple[str, str, int], list[float]]


def track(run: Path, to: str) -> None:
    keeping = KeepingUp(run, destination(to, base=run))
    assert keeping.advance(is_over=True), keeping.failure
    keeping.close()


def read(folder: Path) -> Scalars:
    """What TensorBoard shows: folder, tag and step, with every value that is there for it."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found: Scalars = {}
    for place in {path.parent for path in folder.rglob("events.out.tfevents.*")}:
        reader = EventAccumulator(str(place), size_guidance={"scalars": 0})
        reader.Reload()
        for tag in reader.Tags()["scalars"]:
            for event in reader.Scalars(tag):
                found.setdefault((place.relative_to(folder).as_posix(), tag, event.step), []).append(event.value)
    return found


def test_the_figures_are_those_of_the_table(own_run: Path) -> None:
    track(own_run, "tensorboard")
    track(own_run, "csv")
    expected = {}
    with (own_run / FILE).open(newline="") as file:
        for row in csv.DictReader(file):
            place = f"sites/{row['site']}" if row["site"] else "federation"
            for column, suffix in (("value", ""), ("low", "_low"), ("high", "_high")):
                if row[column]:
                    expected[place, row["name"] + suffix, int(row["round"])] = float(row[column])
    found = read(own_run / FOLDER)
    assert found.keys() == expected.keys()
    assert all(len(values) == 1 for values in found.values())
    assert all(values[0] == pytest.approx(expected[key], rel=1e-6) for key, values in found.items())  # float32


def test_again_and_after_any_cut_each_figure_is_there_once(own_run: Path) -> None:
    track(own_run, "tensorboard")
    whole, before = read(own_run / FOLDER), sorted((own_run / FOLDER).rglob("events*"))
    track(own_run, "tensorboard")
    assert sorted((own_run / FOLDER).rglob("events*")) == before  # nothing new, so no file is begun
    first = next(path for path in before if path.parent.name == "east")
    content = first.read_bytes()
    for end in (0, 5, 12, len(content) // 3, len(content) - 1):
        for path in set(first.parent.glob("*")) - {first}:
            path.unlink()
        first.write_bytes(content[:end])
        track(own_run, "tensorboard")
        assert read(own_run / FOLDER) == whole


def test_a_given_folder_has_a_folder_for_each_run(own_run: Path, tmp_path: Path) -> None:
    track(own_run, f"tensorboard={tmp_path / 'board'}")
    (run,) = (tmp_path / "board").iterdir()
    assert run.name.startswith("run-")
    assert {path.name for path in run.iterdir()} == {"federation", "sites"}
    assert ("study", 0) in written_in(run / "federation")
    assert not (own_run / FOLDER).exists()
