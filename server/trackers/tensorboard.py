"""Figures as TensorBoard's event files: `federation/` for those of all sites, `sites/NAME/` for those of one.

Written by TensorBoard's own record writer, which needs neither torch nor TensorFlow, in this thread, so that a full
disk is met here and not in a thread of the library's. Each opening begins a new file, as TensorBoard's readers
expect; what the older ones hold is read first, and not written again.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final  # TensorBoard has no types

from server.trackers import Batch, Facts, Finished, Point

FOLDER: Final = "tensorboard"
WHOLE: Final = "federation"
_PATTERN: Final = "events.out.tfevents.*"
_STUDY: Final = "study"


@dataclass(frozen=True)
class TensorBoard:
    """The folder for a run's own folder; without one it is `tensorboard/` in the folder of the run."""

    target: str = ""

    def open(self, run: Path, facts: Facts) -> "EventFolder":
        """Open the run's folder, and say of which study it is."""
        folder = Path(self.target) / facts.run if self.target else run / FOLDER
        opened = EventFolder(folder)
        writer = opened.writer(None)
        if (_STUDY, 0) not in writer.written:
            writer.write(facts.began_ms, 0, _text_value(_STUDY, json.dumps(dict(facts.parameters), indent=2)))
        return opened


@dataclass(frozen=True)
class EventFolder:
    """The event files of one run."""

    path: Path
    writers: dict[str, "Writer"] = field(default_factory=dict)

    def writer(self, site: str | None) -> "Writer":
        """Return what writes the figures of a site, or of all."""
        name = WHOLE if site is None else f"sites/{site}"
        if name not in self.writers:
            self.writers[name] = Writer(self.path / name, written_in(self.path / name))
        return self.writers[name]

    def add(self, batch: Batch) -> None:
        """Write the figures that are not there."""
        for point in batch.points:
            writer = self.writer(point.site)
            for tag, value in scalars(point):
                if (tag, point.round) not in writer.written:
                    writer.write(batch.time_ms, point.round, _scalar_value(tag, value))
        for writer in self.writers.values():
            writer.flush()

    def end(self, finished: Finished | None) -> None:
        """Write the last figures; TensorBoard keeps no files."""
        if finished is not None:
            self.add(finished.batch)

    def close(self) -> None:
        """Close the files."""
        for writer in self.writers.values():
            writer.close()


@dataclass
class Writer:
    """One folder's writer; `written` are tags and rounds that its files hold. A file is begun by the first figure."""

    folder: Path
    written: set[tuple[str, int]]
    _file: Any = None
    _records: Any = None

    def write(self, time_ms: int, step: int, value: Any) -> None:
        """Append one figure."""
        self._append(time_ms, step=step, summary=_summary(value))
        self.written.add((value.tag, step))

    def _append(self, time_ms: int, **content: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        if self._records is None:
            self._begin()
        self._records.write(Event(wall_time=time_ms / 1000, **content).SerializeToString())

    def _begin(self) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        self.folder.mkdir(parents=True, exist_ok=True)
        # Readers take the files in the order of their names: a later one must come last, also within a second.
        self._file = (self.folder / f"events.out.tfevents.{time.time_ns():020}.fedpeft").open("xb")
        self._records = RecordWriter(self._file)
        self._append(int(time.time() * 1000), file_version="brain.Event:2")

    def flush(self) -> None:
        """Give to the system what was written."""
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Close the file; what it then does not take is written anew another time, into another one."""
        if self._file is not None:
            try:
                self._file.close()
            except OSError:
                self.written.clear()


def scalars(point: Point) -> Iterator[tuple[str, float]]:
    """Yield the tags of a figure with their values: its bounds have tags of their own."""
    for suffix, value in (("", point.value), ("_low", point.low), ("_high", point.high)):
        if value is not None:
            yield point.name + suffix, value


def written_in(folder: Path) -> set[tuple[str, int]]:
    """Return tag and round of every figure in a folder's event files; one that is cut ends its file."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    found: set[tuple[str, int]] = set()
    for path in sorted(folder.glob(_PATTERN)):
        for event in LegacyEventFileLoader(str(path)).Load():
            found.update((value.tag, event.step) for value in event.summary.value)
    return found


def _summary(value: Any) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary(value=[value])


def _scalar_value(tag: str, value: float) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary.Value(tag=tag, simple_value=value)


def _text_value(tag: str, text: str) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.types_pb2 import DT_STRING

    metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
    indented = "".join(f"    {line}\n" for line in text.splitlines())  # a block of code in its Markdown
    return Summary.Value(
        tag=tag, metadata=metadata, tensor=TensorProto(dtype=DT_STRING, string_val=[indented.encode()])
    )


build = TensorBoard
