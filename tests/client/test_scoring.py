from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional

from client import scoring
from client.execution import Execution
from client.scoring import score
from client.training import set_training_mode
from common.tasks import Example
from common.workbench import Workbench

WORDS = ("fever", "cough", "rash", "pulse", "normal", "sprain", "and", "chills")


@pytest.fixture(scope="module")
def bench(open_bench: Callable[..., Workbench]) -> Workbench:
    bench = open_bench()
    rng = np.random.default_rng(0)
    bench.write({name: rng.normal(0, 0.3, a.shape).astype(np.float32) for name, a in bench.read().items()})
    return bench


def examples_of(bench: Workbench, rows: int) -> list[Example]:
    rng = np.random.default_rng(1)
    texts = [" ".join(rng.choice(WORDS, size=rng.integers(0, 12))) for _ in range(rows)]
    return bench.task.encode(bench.reader, texts, [0] * rows, max_length=bench.max_length)


def test_probabilities_are_those_of_each_row_alone_in_the_rows_order(bench: Workbench) -> None:
    examples = examples_of(bench, 2 * scoring.SCORING_BATCH + 3)
    found = score(bench, examples, execution=Execution())
    assert (found.shape, found.dtype) == ((len(examples), 2), np.float64)
    for row in (0, 1, 64, len(examples) - 1):
        with torch.inference_mode():
            batch = bench.task.collate([examples[row]], pad_id=0)
            expected = functional.softmax(bench.task.logits(bench.model, bench.head, batch).double(), dim=1)
        np.testing.assert_allclose(found[row], expected.numpy()[0], atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)


def test_scores_do_not_depend_on_dropout_or_leave_gradients(bench: Workbench) -> None:
    examples = examples_of(bench, 9)
    first = score(bench, examples, execution=Execution())
    set_training_mode(bench)
    state = torch.random.get_rng_state()
    assert (score(bench, examples, execution=Execution()) == first).all()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(p.grad is None for p in bench.parameters.values())


def test_bf16_scores_are_near_those_of_fp32(bench: Workbench) -> None:
    examples = examples_of(bench, 40)
    exact, rounded = (score(bench, examples, execution=Execution(precision=p)) for p in ("fp32", "bf16"))
    np.testing.assert_allclose(rounded, exact, atol=0.05)
    assert len(np.unique(rounded[:, 1])) == len(np.unique(exact[:, 1]))


def test_no_rows_have_no_probabilities(bench: Workbench) -> None:
    assert score(bench, [], execution=Execution()).shape == (0, 2)


def test_after_training_scores_are_of_evaluation_mode(open_bench: Callable[..., Workbench]) -> None:
    bench = open_bench()
    set_training_mode(bench)
    score(bench, [], execution=Execution())
    assert not any(module.training for root in (bench.model, bench.head) for module in root.modules())
