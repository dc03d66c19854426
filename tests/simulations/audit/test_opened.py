from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from simulations.audit.canaries import is_canary
from simulations.audit.opened import open_run, training_and_test, validation_and_test
from simulations.run import run

FAST = ["training.local_epochs=1", "evaluation.resamples=0"]


def test_members_are_training_rows_and_canaries_neither(leaky_run: Path) -> None:
    opened = open_run(leaky_run)
    pool, held = training_and_test(opened), validation_and_test(opened)
    rows = opened.sites.rows
    assert pool.members.sum() == sum(len(each.train) for each in rows.values()) - 8 * 20
    assert (~pool.members).sum() == (~held.members).sum() == sum(len(each.test) for each in rows.values())
    assert held.members.sum() == sum(len(each.validation) for each in rows.values())
    assert not any(is_canary(patient.partition("|")[2]) for patient in pool.patients)


def test_losses_are_those_of_the_run_s_own_evaluation(leaky_run: Path) -> None:
    """Of most training rows the final adapter has a far lower loss; some, beside the canaries, it has given up."""
    opened = open_run(leaky_run)
    pool = training_and_test(opened)
    before, after = pool.losses(opened, opened.initial), pool.losses(opened, opened.final)
    assert np.median(after[pool.members]) < np.median(before[pool.members]) - 0.1
    some = pool.of(pool.sites == "west")
    assert some.losses(opened, opened.final) == pytest.approx(after[pool.sites == "west"], rel=1e-4, abs=1e-6)


def test_private_tensors_are_each_site_s_own(tmp_path: Path) -> None:
    run("quick", out=tmp_path / "run", rounds=1, overrides=[*FAST, "peft.private=['head.*']"], comparison=False)
    opened = open_run(tmp_path / "run")
    east, west = opened.final("east"), opened.final("west")
    assert not np.array_equal(east["head.weight"], west["head.weight"])
    assert set(east) == set(opened.initial("east"))


def test_what_is_no_finished_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no simulated run; give the --out folder"):
        open_run(tmp_path)
    (tmp_path / "many" / "seed-0").mkdir(parents=True)
    (tmp_path / "many" / "seed-0" / "run.json").write_text("{}")
    with pytest.raises(UserError, match=r"runs over several seeds; audit one of them, such as .*seed-0"):
        open_run(tmp_path / "many")
    run("quick", out=tmp_path / "run", rounds=1, overrides=FAST, comparison=False)
    (tmp_path / "run" / "results.json").rename(tmp_path / "run" / "elsewhere.json")
    with pytest.raises(UserError, match="is not finished; go on with --resume first"):
        open_run(tmp_path / "run")
