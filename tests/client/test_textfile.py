"""The file of the trainer's figures: what fails there reaches no answer, and is said once."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from errno import ENOSPC
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any

import pytest
from flwr.app import RecordDict
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from client.metrics import fresh
from client.textfile import Measured, Textfile, measured
from common import wire


@dataclass(eq=False)
class Full(Collector):
    """Figures that cannot be had while the disk is full."""

    is_full: bool = True

    def collect(self) -> Iterator[Metric]:
        if self.is_full:
            raise OSError(ENOSPC, "No space left on device")
        yield GaugeMetricFamily("g", "of a test", 1)


@dataclass
class Echo:
    """Answers with what it was sent, or fails."""

    def respond(self, action: str, content: wire.Content) -> wire.Content:
        if action == "evaluate":
            raise ValueError("a defect")
        return content

    def status(self) -> Mapping[str, Any]:
        return {"site": "east"}


def test_a_full_disk_is_one_line_until_there_is_room(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    full, registry = Full(), CollectorRegistry(auto_describe=False)
    registry.register(full)
    textfile = Textfile(tmp_path / "m.prom", registry)
    with caplog.at_level(logging.WARNING, "fedpeft.site"):
        assert [textfile.write() for _ in range(3)] == [False] * 3
        assert len(caplog.records) == 1
        assert "No space left on device" in caplog.text
        full.is_full = False
        assert textfile.write()
        full.is_full = True
        assert not textfile.write()
    assert len(caplog.records) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["m.prom"]
    assert "g 1.0" in (tmp_path / "m.prom").read_text()


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    textfile = Textfile(tmp_path / "file" / "m.prom", CollectorRegistry())
    with caplog.at_level(logging.WARNING, "fedpeft.site"):
        assert not textfile.write()
    assert str(tmp_path) not in caplog.text


def test_answers_pass_through_and_are_timed_also_those_that_fail() -> None:
    worked, news = fresh(), Event()
    hospital, content = Measured(Echo(), worked, news), RecordDict()
    assert hospital.respond("train", content) is content
    assert news.is_set()
    with pytest.raises(ValueError, match="a defect"):
        hospital.respond("evaluate", content)
    assert (worked.messages["train"], worked.messages["evaluate"]) == (1, 1)
    assert worked.last is not None
    assert hospital.status() == {"site": "east"}


def test_a_message_has_the_file_written_anew(tmp_path: Path) -> None:
    path, registry = tmp_path / "m.prom", CollectorRegistry(auto_describe=False)
    registry.register(Full(is_full=False))
    hospital = measured(Echo(), lambda worked: registry, path)
    wait_for(path)
    path.unlink()
    hospital.respond("train", RecordDict())
    wait_for(path)


def wait_for(path: Path) -> None:
    end = monotonic() + 10
    while not path.exists():
        assert monotonic() < end
        Event().wait(0.02)
