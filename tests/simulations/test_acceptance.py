"""The gate at virtual sites: what it compares are the figures that both runs' results.json state."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from common.adapter_folder import read_adapter, write_adapter
from common.bundle import read_bundle
from common.errors import UserError
from common.registry.store import Registry
from simulations.acceptance import gate
from simulations.run import run

FAST = ("evaluation.resamples=20", "evaluation.validation_fraction=0.4", "training.local_epochs=1")
Play = Callable[..., Path]


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Play:
    """`play(seed, "section.key=value", ...)`: the folder of a finished run of two rounds, made once."""

    @cache
    def made(seed: int, *overrides: str) -> Path:
        place = tmp_path_factory.mktemp("run") / "out"
        run("quick", out=place, rounds=2, seed=seed, overrides=[*FAST, *overrides], comparison=False)
        return place

    return made


def stated(folder: Path) -> dict[str, dict[str, float]]:
    """The metrics of each site's validation rows, after the last round."""
    rounds = json.loads((folder / "results.json").read_text())["rounds"]
    sites = rounds[-1]["validation"]["sites"].items()
    return {site: {name: metric["value"] for name, metric in found.items()} for site, found in sites}


@pytest.mark.parametrize("private", [(), ("peft.private=['head.*']",)], ids=["shared", "private head"])
def test_it_compares_what_both_runs_state(play: Play, tmp_path: Path, private: tuple[str, ...]) -> None:
    old, new = play(0, *private), play(1, *private)
    registry = Registry(tmp_path / "registry")
    registry.add(old)
    registry.promote("quick", 1)
    found = gate(new, registry.path / "quick", max_loss=0.02)
    assert list(found) == ["east", "north", "west"]
    wanted = stated(old), stated(new)
    for site, verdict in found.items():
        assert verdict.compared is not None
        info = verdict.compared.metric
        old_value, new_value = (figures[site][info.name] for figures in wanted)
        assert verdict.compared.candidate.value == pytest.approx(new_value)
        if not private:  # the old version's own heads stayed in its run
            assert verdict.compared.current.value == pytest.approx(old_value)
            gain = new_value - old_value if info.higher_is_better else old_value - new_value
            assert verdict.is_accepted is (gain >= -0.02)


def test_a_run_is_no_better_than_itself(play: Play) -> None:
    found = gate(play(0), play(0), max_loss=0.0)
    gains = [verdict.compared.gain.value for verdict in found.values() if verdict.compared is not None]
    assert gains == [0, 0, 0]
    assert all(verdict.is_accepted for verdict in found.values())


def test_another_rank_and_another_template_are_compared_on_the_same_rows(play: Play) -> None:
    other = play(0, "peft.rank=2", "data.template='{note} {age}'")
    found, wanted = gate(play(1), other, max_loss=1.0), stated(other)
    for site, verdict in found.items():
        assert verdict.compared is not None
        assert verdict.compared.current.value == pytest.approx(wanted[site][verdict.compared.metric.name])


def test_other_private_tensors_are_refused(play: Play) -> None:
    with pytest.raises(UserError, match="since a registry holds no site's tensors"):
        gate(play(1, "peft.private=['head.*']"), play(0), max_loss=0.02)


def test_another_task_is_refused(play: Play, tmp_path: Path) -> None:
    bundle = read_bundle(play(0) / "bundle")
    task = bundle.study.task.model_copy(update={"labels": ("yes", "no")})
    turned = type(bundle)(**{**vars(bundle), "study": bundle.study.model_copy(update={"task": task})})
    write_adapter(tmp_path, turned, read_adapter(play(0) / "adapter").shared, card="")
    with pytest.raises(UserError, match=r"task.labels"):
        gate(play(1), tmp_path, max_loss=0.02)


def test_what_is_no_finished_run_is_said(play: Play, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no run of one seed"):
        gate(tmp_path, play(0), max_loss=0.02)
    with pytest.raises(UserError, match="no folder is there"):
        gate(tmp_path / "nothing", play(0), max_loss=0.02)
