from collections.abc import Callable, Mapping

import numpy as np
import pytest

from client.data import Rows
from client.execution import Execution
from common.state import AdapterState
from common.tasks import Example
from common.workbench import Workbench
from simulations.audit.layer_inputs import FirstLayers, candidates, first_layers
from simulations.audit.membership import Resampling
from simulations.audit.token_recovery import (
    embedding_name,
    embedding_scores,
    gradients,
    recovery_of,
    span_scores,
    views_of,
)

RANK = "peft.rank=%d"


def examples_of(bench: Workbench, rows: Mapping[str, Rows], count: int) -> list[Example]:
    east = rows["east"]
    return bench.task.encode(bench.reader, east.inputs[:count], east.labels[:count], max_length=48)


def gradient_of(bench: Workbench, warm: list[Example], batch: list[Example]) -> tuple[AdapterState, AdapterState]:
    initial = bench.read()
    found = gradients(bench, initial, [warm, batch], rate=0.02, execution=Execution())
    bench.write(initial)
    return found, initial


def there(bench: Workbench, rows: list[Example]) -> np.ndarray:
    return np.isin(candidates(bench), sorted({token for row in rows for token in row.input_ids}))


def area(bench: Workbench, scores: np.ndarray, rows: list[Example]) -> float:
    resampling = Resampling(0, np.random.default_rng(0))
    found = recovery_of(scores, np.stack([there(bench, rows)]), resampling)
    assert found.auc.value is not None
    return found.auc.value


def layers_of(bench: Workbench) -> FirstLayers:
    found = first_layers(bench)
    assert found is not None
    return found


def test_with_as_much_rank_as_positions_one_gradient_gives_a_text_away(
    open_bench: Callable[..., Workbench], site_rows: Mapping[str, Rows]
) -> None:
    """16 ranks of query and value each, in 32 units: room for the text's words, numbers apart."""
    bench = open_bench(RANK % 16)
    warm, text = examples_of(bench, site_rows, 8), examples_of(bench, site_rows, 1)
    short = [Example(text[0].input_ids[:12], text[0].target)]
    found, initial = gradient_of(bench, warm, short)
    scores = span_scores(layers_of(bench), [views_of(layers_of(bench), found, initial)], places=12)
    assert (scores[0][there(bench, short)] > 1 - 1e-6).all()
    assert scores[0][~there(bench, short)].max() < 1 - 1e-3
    assert area(bench, scores, short) == 1.0


def test_a_lora_that_has_taken_no_step_shows_nothing_of_a(
    open_bench: Callable[..., Workbench], site_rows: Mapping[str, Rows]
) -> None:
    bench = open_bench(RANK % 4)
    rows = examples_of(bench, site_rows, 2)
    initial = bench.read()
    found = gradients(bench, initial, [rows], rate=0.02, execution=Execution())
    assert not any(np.any(array) for name, array in found.items() if name.endswith("lora_A.weight"))
    # B has a gradient, in which what A makes of the inputs is seen.
    assert all(view.project is not None for view in views_of(layers_of(bench), found, initial))


def test_b_alone_shows_what_a_makes_of_the_inputs(
    open_bench: Callable[..., Workbench], site_rows: Mapping[str, Rows]
) -> None:
    bench = open_bench(RANK % 16)
    text = examples_of(bench, site_rows, 1)
    short = [Example(text[0].input_ids[:7], text[0].target)]
    found, initial = gradient_of(bench, examples_of(bench, site_rows, 8), short)
    only_b = {name: array for name, array in found.items() if not name.endswith("lora_A.weight")}
    scores = span_scores(layers_of(bench), [views_of(layers_of(bench), only_b, initial)], places=7)
    assert (scores[0][there(bench, short)] > 1 - 1e-4).all()
    assert area(bench, scores, short) > 0.99


def test_without_the_first_layers_nothing_is_seen(open_bench: Callable[..., Workbench]) -> None:
    layers = layers_of(open_bench())
    assert views_of(layers, {"head.weight": np.ones((2, 32), np.float32)}, {}) == ()
    only_b = {pair.b: np.ones((32, 4), np.float32) for pair in layers.pairs}
    assert views_of(layers, only_b, {}) == ()  # A is the site's own


def test_noise_shows_nothing(open_bench: Callable[..., Workbench], site_rows: Mapping[str, Rows]) -> None:
    bench = open_bench(RANK % 4)
    rng, layers, rows = np.random.default_rng(0), layers_of(bench), examples_of(bench, site_rows, 3)
    noise = [{pair.a: rng.normal(size=(4, 32)).astype(np.float32) for pair in layers.pairs} for _ in range(30)]
    scores = span_scores(layers, [views_of(layers, each, {}) for each in noise], places=10)
    areas = [area(bench, scores[[place]], rows) for place in range(30)]
    assert np.mean(areas) == pytest.approx(0.5, abs=0.1)


def test_rows_of_a_trained_embedding_that_moved_were_read(
    open_bench: Callable[..., Workbench], site_rows: Mapping[str, Rows]
) -> None:
    bench = open_bench("peft={method='full'}")
    name = embedding_name(bench)
    assert name == "embeddings.word_embeddings.weight"
    rows = examples_of(bench, site_rows, 4)
    found, _ = gradient_of(bench, examples_of(bench, site_rows, 8), rows)
    scores = embedding_scores(found, name, candidates(bench))
    assert ((scores > 0) == there(bench, rows)).all()
    assert embedding_name(open_bench()) is None


def test_an_interval_over_tokens_holds_the_value() -> None:
    rng = np.random.default_rng(0)
    true = rng.random((3, 200)) < 0.2
    scores = rng.normal(size=true.shape) + true
    found = recovery_of(scores, true, Resampling(200, rng))
    assert (found.candidates, found.attacks) == (200, 3)
    for metric in (found.recall, found.beyond, found.auc):
        assert metric.value is not None
        assert metric.low is not None
        assert metric.high is not None
        assert metric.low < metric.value < metric.high
