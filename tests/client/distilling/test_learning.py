"""Validation rows choose the epoch."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch

from client.data import Rows
from client.distilling.learning import learn, quality
from client.distilling.soft_targets import SoftTargets, of_numbers
from client.execution import Execution
from client.recipe import Recipe
from client.scoring import score
from client.site_rows import SiteRows, prepare_rows
from common.study import Study
from common.workbench import Workbench

RECIPE = Recipe(learning_rate=0.02, batch_size=8, epochs=4)


def nothing_soft(rows: SiteRows) -> SoftTargets:
    return SoftTargets(of_numbers, weight=0.0, temperature=1.0, teacher=torch.zeros(len(rows.train), 2))


def test_the_best_epoch_is_what_is_left(
    open_bench: Callable[..., Workbench], make_study: Callable[..., Study], site_rows: Mapping[str, Rows]
) -> None:
    bench, told = open_bench(), []
    rows = prepare_rows(site_rows["east"], make_study(), bench)
    epoch = learn(
        bench, rows, nothing_soft(rows), RECIPE, execution=Execution(), seed=0, told=lambda *each: told.append(each)
    )
    assert [number for number, _ in told] == [1, 2, 3, 4]
    values = [value for _, value in told]
    assert epoch == 1 + int(np.argmax(values))
    left = quality(score(bench, rows.validation.examples, execution=Execution()), rows.validation, bench.task.measure)
    assert left == (values[epoch - 1], values[epoch - 1])


def test_without_validation_rows_it_is_the_last(
    open_bench: Callable[..., Workbench], make_study: Callable[..., Study], site_rows: Mapping[str, Rows]
) -> None:
    bench, told = open_bench(), []
    rows = prepare_rows(site_rows["east"], make_study(), bench)
    rows = replace(
        rows, validation=replace(rows.validation, examples=[], labels=rows.validation.labels[:0], patients=[])
    )
    epoch = learn(
        bench, rows, nothing_soft(rows), RECIPE, execution=Execution(), seed=0, told=lambda *each: told.append(each)
    )
    assert (epoch, [value for _, value in told]) == (4, [None] * 4)


def test_less_is_better_where_the_metric_says_so(open_bench: Callable[..., Workbench]) -> None:
    """One class only: there is no AUROC, so log loss chooses, whose sign is turned."""
    measure = open_bench().task.measure
    from client.site_rows import SplitRows

    part = SplitRows([], np.array([1, 1]), ["a", "b"])
    found, value = quality(np.array([[0.5, 0.5], [0.5, 0.5]]), part, measure)
    assert (found, value) == (-np.log(2), np.log(2))
