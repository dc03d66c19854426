"""Peaks of memory are a process's own."""

import subprocess
import sys

import numpy as np

from simulations.bench.memory import peak_mb, reset_peak, resident_mb

OWN = "from simulations.bench.memory import peak_mb; print(peak_mb())"
MB = 2**20


def test_a_peak_stays_until_it_is_reset() -> None:
    reset_peak()
    before = peak_mb()
    large = np.ones(64 * MB // 8)
    assert resident_mb() > before + 60
    del large
    assert peak_mb() > before + 60
    reset_peak()
    assert peak_mb() < before + 30


def test_a_process_does_not_inherit_its_parents_peak() -> None:
    large = np.ones(256 * MB // 8)
    own = float(subprocess.run([sys.executable, "-c", OWN], capture_output=True, text=True, check=True).stdout)
    assert own < large.nbytes / MB
