"""Flower's simulation, as it is measured beside ours, has to have trained."""

import os
from pathlib import Path

import numpy as np
import pytest
from flwr.app import ArrayRecord

from simulations.bench.flower_rival import _check_moved, _resident
from simulations.bench.flower_rival import _work as work


def record(*values: float) -> ArrayRecord:
    return ArrayRecord([np.array([value], np.float32) for value in values])


def test_a_round_in_which_no_client_trained_is_an_error() -> None:
    _check_moved(record(1, 2), record(1, 3))
    with pytest.raises(RuntimeError, match="no client"):
        _check_moved(record(1, 2), record(1, 2))


def test_a_base_model_that_is_kept_is_loaded_once_and_leaves_nothing_outside_its_folder(tmp_path: Path) -> None:
    work.cache_clear()
    assert _resident("quick", str(tmp_path)) is _resident("quick", str(tmp_path))
    assert [each.name for each in tmp_path.iterdir()] == [f"process-{os.getpid()}"]
