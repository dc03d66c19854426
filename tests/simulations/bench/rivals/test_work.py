from pathlib import Path

import numpy as np
import pytest

from simulations.bench.bare_loop import load_of, tokenised
from simulations.bench.rivals.work import WORK, Work, write_work
from simulations.catalogue import base_folder, load
from simulations.virtual import read_sites


def test_the_file_holds_the_batches_that_the_bare_loop_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WORK, write_work("quick", tmp_path))
    study = load("quick")
    rows = tokenised(study, read_sites(study, tmp_path), base_folder(study, tmp_path))
    work = Work()
    assert set(work.rows) == set(rows)
    for site in rows:
        expected, found = load_of(study, {site: rows[site]}, round_number=2), work.load(site, 2)
        for one, other in ((expected.training[0], found.training[0]), (expected.validation, found.validation)):
            assert len(one) == len(other) > 0
            for a, b in zip(one, other, strict=True):
                assert all(np.array_equal(a[name], b[name]) for name in ("ids", "mask", "targets"))


def test_a_loop_gives_and_takes_its_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What travels: what training moves, and nothing of the base model."""
    monkeypatch.setenv(WORK, write_work("quick", tmp_path))
    work = Work()
    one, other = work.loop(threads=1), work.loop(threads=1)
    before = {name: tensor.clone() for name, tensor in one.state().items()}
    one.round(work.load(sorted(work.rows)[0], 1))
    after = one.state()
    assert any("lora_A" in name for name in after)
    assert all(not after[name].equal(tensor) for name, tensor in before.items())
    assert sum(p.requires_grad for m in one.modules for p in m.parameters()) == len(after)
    other.set_state(after)
    assert all(tensor.equal(after[name]) for name, tensor in other.state().items())
