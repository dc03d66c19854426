"""A site of two processes: the round of one process, whatever happens amid it, and nothing left behind."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from client.execution import Execution
from client.settings import SiteSettings, read_settings
from client.team import MemberError, Team
from client.trainer import Trainer
from common.errors import RefusedError, UserError
from common.protocol import Refusal, Reply, Request, RoundPlan
from common.rank_slices import sliced
from common.workbench import open_workbench

Make = Callable[..., Trainer]
Ask = Callable[..., Request]


@pytest.fixture
def still_model(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny base model without dropout, which each process would draw its own of."""
    folder = tmp_path / "still"
    shutil.copytree(tiny_model, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def make_pair(make_trainer: Make, still_model: Path) -> Iterator[Callable[..., tuple[Trainer, Trainer]]]:
    """`make_pair("key=value", ...)`: the same site with one process, and with two."""
    made: list[Trainer] = []

    def make(*overrides: str) -> tuple[Trainer, Trainer]:
        alone = still(make_trainer(*overrides, home="alone"), still_model)
        two = still(make_trainer(*overrides, home="two"), still_model)
        examples = two.rows.train.examples
        made.append(replace(two, team=Team(two.bundle.study, still_model, examples, Execution(), (Execution(),))))
        return alone, made[-1]

    yield make
    for trainer in made:
        trainer.close()


def still(trainer: Trainer, model: Path) -> Trainer:
    return replace(trainer, bench=open_workbench(trainer.bundle.study, model))


def update_of(trainer: Trainer, request: Request) -> dict[str, Any]:
    answer = trainer.answer(request)
    assert isinstance(answer, Reply), answer
    return dict(answer.update)


def children() -> set[int]:
    """Those of this process that run a member; not what Python starts beside them."""
    found = psutil.Process().children(recursive=True)
    return {each.pid for each in found if "spawn_main" in " ".join(each.cmdline())}


@pytest.mark.processes
@pytest.mark.parametrize("overrides", [(), ("training.regulariser={kind='ewc', weight=10.0, rows=4}",)], ids=str)
def test_two_rounds_are_those_of_one_process(overrides: tuple[str, ...], make_pair: Any, ask: Ask) -> None:
    alone, two = make_pair("training.batch_size=5", *overrides)
    before, pids = children(), []
    for number in (1, 2):
        request = ask(alone.bundle, round=number)
        expected, found = update_of(alone, request), update_of(two, request)
        assert max(float(np.abs(expected[name] - found[name]).max()) for name in expected) < 1e-5
        assert any(array.any() for array in found.values())
        pids.append(children() - before)
    assert len(pids[0]) == 1
    assert pids[0] == pids[1]  # the base model is loaded once, not for each round
    two.close()
    assert children() == before


@pytest.mark.processes
def test_a_rank_a_held_back_tail_and_what_is_carried_reach_both_processes(make_pair: Any, ask: Ask) -> None:
    """A regulariser writes the initial adapter into the model and back: what is carried must come back too."""
    ewc = "training.regulariser={kind='ewc', weight=10.0, rows=4}"
    figures = {"tail_penalty": 5.0, "tail_share": 0.5, "rotation": 0.5, "rotate_b": 0.0}
    options = [f"aggregation.{name}={value}" for name, value in figures.items()]
    alone, two = make_pair("aggregation.name='sample-tails'", *options, "federation.ranks={east=2}", ewc)
    plan = RoundPlan(rank=2, extra=figures)
    rng = np.random.default_rng(0)
    shared = dict(sliced({name: alone.bundle.initial[name] for name in alone.schema.shared.names}, 2))
    for name in [n for n in shared if n.endswith("lora_A.weight")]:
        shared[f"carried.{name}"] = rng.normal(0, 0.2, (3, 32)).astype(np.float32)
        shared[f"carried.{name.replace('lora_A', 'lora_B')}"] = rng.normal(0, 0.2, (32, 3)).astype(np.float32)
    request = ask(alone.bundle, round=2, plan=plan, shared=shared)
    expected, found = update_of(alone, request), update_of(two, request)
    assert max(float(np.abs(expected[name] - found[name]).max()) for name in expected) < 1e-5


@pytest.mark.processes
def test_a_withdrawal_amid_a_round_ends_the_others_and_the_next_round_starts_them(make_pair: Any, ask: Ask) -> None:
    alone, two = make_pair()
    before = children()

    def withdraw() -> None:
        raise RefusedError("PAUSED")

    request = ask(two.bundle)
    assert replace(two, check_consent=withdraw).answer(request) == Refusal("PAUSED")
    assert children() == before
    expected, found = update_of(alone, request), update_of(two, request)
    assert max(float(np.abs(expected[name] - found[name]).max()) for name in expected) < 1e-5


@pytest.mark.processes
def test_a_member_that_dies_fails_the_round_and_not_the_site(make_pair: Any, ask: Ask) -> None:
    _, two = make_pair()
    before = children()
    update_of(two, ask(two.bundle))
    (member,) = children() - before
    os.kill(member, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(member)], timeout=10)
    with pytest.raises(MemberError, match="has ended"):
        two.answer(ask(two.bundle, round=2))
    assert children() == before
    assert update_of(two, ask(two.bundle, round=2))


@pytest.mark.processes
def test_a_member_that_cannot_start_is_said(make_pair: Any, ask: Ask, tmp_path: Path) -> None:
    _, two = make_pair()
    team = replace(two.team, base_model=tmp_path / "nowhere")
    before = children()
    with pytest.raises(MemberError, match="did not start; its reason is in this log"):
        replace(two, team=team).answer(ask(two.bundle))
    assert children() == before


@pytest.mark.processes
def test_a_hospital_with_two_processes_answers(make_site: Callable[..., Any], ask: Ask) -> None:
    site = make_site()
    site.approve()
    text = site.folder.settings.read_text()
    site.folder.settings.write_text(text.replace("threads = 1", "threads = 1\nprocesses = 2"))
    hospital, before = site.hospital(), children()
    assert isinstance(site.sent(hospital, ask(site.bundle)), Reply)
    assert len(children() - before) == 1
    site.folder.settings.write_text(text)
    assert isinstance(site.sent(hospital, ask(site.bundle, round=2)), Reply)
    assert children() == before


@pytest.mark.parametrize(
    ("lines", "members"),
    [
        ('device = "cpu"', ("cpu",)),
        ("processes = 3", ("cpu",) * 3),
        ('devices = ["cuda:0", "cuda:1"]', ("cuda:0", "cuda:1")),
        ('device = "cuda:1"', ("cuda:1",)),
    ],
)
def test_the_settings_say_which_processes_there_are(
    lines: str, members: tuple[str, ...], make_site: Callable[..., Any]
) -> None:
    assert settings_of(make_site(), lines).members == members


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('devices = ["cuda:0"]\nprocesses = 2', "devices stands alone"),
        ('devices = ["cuda:0"]\ndevice = "cuda:0"', "devices stands alone"),
        ('devices = ["cuda:0", "cuda:0"]', "different GPUs"),
        ('devices = ["cpu", "cuda:0"]', "different GPUs with their numbers"),
        ('processes = 2\ndevice = "cuda:0"', 'processes goes with device = "cpu"'),
        ("processes = 0", "processes"),
    ],
)
def test_what_does_not_go_together_is_refused(lines: str, said: str, make_site: Callable[..., Any]) -> None:
    with pytest.raises(UserError, match=said):
        settings_of(make_site(), lines)


def settings_of(site: Any, lines: str) -> SiteSettings:
    text = site.folder.settings.read_text()
    site.folder.settings.write_text(text.replace('device = "cpu"', lines))
    return read_settings(site.folder)
