"""Teachers over the tiny model: an exported adapter, rows, and the base model, for each kind of task."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from common.adapter_folder import write_adapter
from common.preparation import prepare
from simulations.catalogue import base_folder, load, rows_path

FAST = ("evaluation.resamples=20", "training.precision=fp32")


@dataclass(frozen=True)
class Lesson:
    """What `distil` is given."""

    adapter: Path
    rows: Path
    base: Path


@pytest.fixture(scope="session")
def make_lesson(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Lesson]:
    """`make_lesson("quick", "section.key=value", ...)`: its adapter as round 0 has it, and all of its rows."""

    @cache
    def make(name: str, *overrides: str) -> Lesson:
        place = tmp_path_factory.mktemp("lesson")
        study = load(name, overrides=[*FAST, *overrides])
        base = base_folder(study, place / "model")
        bundle = prepare(study, base, place / "bundle")
        shared = {name: bundle.initial[name] for name in bundle.schema.shared.names}
        write_adapter(place / "run" / "adapter", bundle, shared, card="")
        return Lesson(place / "run" / "adapter", rows_path(study, place), base)

    return make


@pytest.fixture
def lesson(make_lesson: Callable[..., Lesson]) -> Lesson:
    """A classifier of two labels."""
    return make_lesson("quick")
