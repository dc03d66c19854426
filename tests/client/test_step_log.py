"""The log of steps: what training was, in a bounded file, whatever ends the round."""

import json
import logging
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from client.step_log import EVERY, StepLog, figures
from client.steps import Step
from client.trainer import Trainer
from common.errors import RefusedError
from common.protocol import Refusal, Reply, Request

Make = Callable[..., Trainer]
Ask = Callable[..., Request]


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def step(number: int, loss: float = 0.5, *, update: float | None = 0.25) -> Step:
    moved = None if update is None else torch.tensor(update)
    return Step(number, 1e-3, torch.tensor(loss), torch.tensor(2.0), moved)


def test_each_step_of_a_round_is_a_line(make_trainer: Make, ask: Ask, tmp_path: Path) -> None:
    trainer = replace(make_trainer("training.schedule='linear'"), step_log=StepLog(tmp_path / "steps.jsonl"))
    answer = trainer.answer(ask(trainer.bundle))
    assert isinstance(answer, Reply)
    lines = lines_of(tmp_path / "steps.jsonl")
    assert [line["step"] for line in lines] == list(range(1, int(answer.train["steps"]) + 1))
    assert {(line["study"], line["run"], line["round"]) for line in lines} == {("quick", "run-1", 1)}
    assert sum(line["loss"] for line in lines) / len(lines) == pytest.approx(answer.train["loss"], rel=1e-5)
    assert all(line["gradient_norm"] > 0 and line["update_norm"] > 0 for line in lines)
    rates = [line["learning_rate"] for line in lines]
    assert rates == sorted(rates, reverse=True)
    assert len(set(rates)) == len(rates)


def test_the_log_changes_no_byte_of_the_answer_and_leaves_with_none(
    make_trainer: Make, ask: Ask, tmp_path: Path
) -> None:
    with_log = replace(make_trainer(home="one"), step_log=StepLog(tmp_path / "steps.jsonl"))
    without = make_trainer(home="other")
    first, second = with_log.answer(ask(with_log.bundle)), without.answer(ask(without.bundle))
    assert isinstance(first, Reply)
    assert isinstance(second, Reply)
    assert set(first.train) == {"loss", "gradient_norm", "steps", "seconds_train", "seconds_evaluate"}
    assert all((first.update[name] == second.update[name]).all() for name in first.update)
    assert not list((tmp_path / "other").rglob("*steps*"))


def test_a_round_that_is_cut_short_is_written_as_far_as_it_came(make_trainer: Make, ask: Ask, tmp_path: Path) -> None:
    seen: list[int] = []

    def withdraw() -> None:
        seen.append(1)
        if len(seen) == 2:
            raise RefusedError("PAUSED")

    trainer = make_trainer("training.batch_size=4")
    trainer = replace(trainer, step_log=StepLog(tmp_path / "steps.jsonl"), check_consent=withdraw)
    assert trainer.answer(ask(trainer.bundle)) == Refusal("PAUSED")
    assert [line["step"] for line in lines_of(tmp_path / "steps.jsonl")] == [1, 2]


def test_figures_are_read_some_at_a_time(tmp_path: Path) -> None:
    log, sizes = StepLog(tmp_path / "steps.jsonl"), list[int]()
    with log.of_round(round=1) as note:
        for number in range(EVERY + 1):
            note(step(number))
            sizes.append(len(lines_of(log.path)) if log.path.exists() else 0)
    assert sizes == [0] * (EVERY - 1) + [EVERY, EVERY]
    assert len(lines_of(log.path)) == EVERY + 1


def test_the_log_is_bounded_and_keeps_what_is_newest(tmp_path: Path) -> None:
    log = StepLog(tmp_path / "steps.jsonl", limit_bytes=2000)
    for number in range(200):
        with log.of_round(round=number) as note:
            note(step(0))
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["steps.jsonl", "steps.jsonl.1"]
    assert all(file.stat().st_size <= 2000 for file in files)
    kept = [line["round"] for file in reversed(files) for line in lines_of(file)]
    assert kept == list(range(200 - len(kept), 200))
    assert len(kept) > 15


def test_nobody_else_reads_it(tmp_path: Path) -> None:
    log = StepLog(tmp_path / "logs" / "steps.jsonl")
    with log.of_round() as note:
        note(step(0))
    assert log.path.stat().st_mode & 0o077 == 0


def test_what_is_not_finite_or_not_measured_is_null() -> None:
    found = figures([step(0, math.inf), step(1, math.nan, update=None), step(2)])
    assert [line["loss"] for line in found] == [None, None, 0.5]
    assert [line["update_norm"] for line in found] == [0.25, None, 0.25]
    assert figures([]) == []


def test_a_log_that_cannot_be_written_is_said_and_training_goes_on(
    make_trainer: Make, ask: Ask, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    trainer = replace(make_trainer(), step_log=StepLog(tmp_path / "file" / "steps.jsonl"))
    with caplog.at_level(logging.WARNING):
        assert isinstance(trainer.answer(ask(trainer.bundle)), Reply)
    assert "the log of steps cannot be written" in caplog.text
    assert str(tmp_path) not in caplog.text


@pytest.mark.parametrize("wanted", [True, False])
def test_a_hospital_may_do_without(wanted: bool, make_site: Callable[..., Any], ask: Ask) -> None:
    site = make_site()
    site.approve()
    text = site.folder.settings.read_text()
    site.folder.settings.write_text(text.replace("step_log = true", f"step_log = {str(wanted).lower()}"))
    assert isinstance(site.sent(site.hospital(), ask(site.bundle)), Reply)
    assert site.folder.step_log.exists() is wanted
