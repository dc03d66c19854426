"""Stepping over frozen blocks changes nothing but the time."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from client import frozen_layers
from client.execution import Execution
from client.frozen_layers import FrozenLayers
from client.recipe import Recipe
from client.scoring import score
from client.training import set_training_mode, train
from common.tasks import Example
from common.workbench import Workbench

TEXTS = ["fever and cough", "rash", "seen today with chills and sputum, pulse normal", "sprain", "", "fever"]
TARGETS = np.array([1, 0, 1, 0, 0, 1])
TOP = {
    "last-layers": "peft={method='last-layers', layers=1}",
    "lora": "peft={method='lora', targets=['layer.1.attention.self.query']}",
    "head": "peft={method='head'}",
}
QUIET = "training.frozen_dropout=false"
Open = Callable[..., Workbench]


def examples_of(bench: Workbench) -> list[Example]:
    return list(bench.task.encode(bench.reader, TEXTS, TARGETS, max_length=bench.max_length))


def trained(bench: Workbench, examples: list[Example], **changes: object) -> dict[str, np.ndarray]:
    recipe = Recipe(learning_rate=0.01, batch_size=2, epochs=3, clip_norm=1.0)
    rng = np.random.default_rng(0)
    options = {"active": bench.parameters, "execution": Execution(), "rng": rng, "dropout_seed": 3, **changes}
    train(bench, examples, recipe, **options)
    return bench.read()


def without_dropout(bench: Workbench) -> Workbench:
    for module in bench.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return bench


@pytest.mark.parametrize("method", TOP)
def test_training_and_scores_are_those_of_running_all_layers(method: str, open_bench: Open) -> None:
    kept, whole = (without_dropout(open_bench(TOP[method], QUIET)) for _ in range(2))
    whole = replace(whole, frozen_dropout=True)
    found = trained(kept, examples_of(kept))
    assert len(kept.kept.states) == len(TEXTS)
    for name, expected in trained(whole, examples_of(whole)).items():
        if name.endswith("key.bias"):  # softmax takes no notice of it: its gradient is rounding, which Adam enlarges
            continue
        np.testing.assert_allclose(found[name], expected, atol=2e-5, err_msg=name)
    assert not whole.kept.states
    scores = [score(bench, examples_of(bench), execution=Execution()) for bench in (kept, whole)]
    np.testing.assert_allclose(*scores, atol=1e-5)


@pytest.mark.parametrize("method", TOP)
def test_frozen_blocks_run_once_for_each_row(method: str, open_bench: Open) -> None:
    bench = open_bench(TOP[method], QUIET)
    runs: list[int] = []
    first = bench.model.get_submodule(
        next(name for name, _ in bench.model.named_modules() if name.endswith("encoder.layer.0"))
    )
    first.register_forward_hook(lambda _m, _i, output: runs.append(1))
    examples = examples_of(bench)
    before = [name for name, _ in bench.model.named_modules()]
    for _ in range(2):
        trained(bench, examples)
        score(bench, examples, execution=Execution())
    assert len(runs) == len(TEXTS)
    assert [name for name, _ in bench.model.named_modules()] == before


def test_what_is_kept_depends_on_the_row_alone(open_bench: Open) -> None:
    """So a run that is resumed, and keeps anew in another order, has the same bytes."""
    one, other = open_bench(TOP["last-layers"], QUIET), open_bench(TOP["last-layers"], QUIET)
    rows = examples_of(other)
    score(other, rows[::-1][:4], execution=Execution())
    first, second = trained(one, examples_of(one)), trained(other, rows)
    assert all((first[name] == second[name]).all() for name in first)


def test_rows_beyond_the_memory_are_computed_to_the_same_bytes(
    open_bench: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    roomy, tight = open_bench(TOP["last-layers"], QUIET), open_bench(TOP["last-layers"], QUIET)
    expected = trained(roomy, examples_of(roomy))
    limit = roomy.kept.size_bytes // 2
    monkeypatch.setattr(frozen_layers, "KEPT_BYTES", limit)
    found = trained(tight, examples_of(tight))
    assert 0 < tight.kept.size_bytes <= limit
    assert len(tight.kept.states) < len(TEXTS)
    assert all((found[name] == expected[name]).all() for name in expected)


def test_dropout_stays_in_what_is_trained_and_goes_below(open_bench: Open) -> None:
    bench = open_bench(TOP["last-layers"], QUIET)
    set_training_mode(bench)
    modes = {name: m.training for name, m in bench.model.named_modules() if isinstance(m, nn.Dropout)}
    assert {name for name, training in modes.items() if training} == {
        name for name in modes if ".layer.1." in f".{name}."
    }
    assert len(set(modes.values())) == 2
    usual = open_bench(TOP["last-layers"])
    set_training_mode(usual)
    assert all(module.training for module in usual.model.modules())
    two = [trained(open_bench(TOP["last-layers"], QUIET), examples_of(bench), dropout_seed=seed) for seed in (1, 2)]
    assert any((two[0][name] != two[1][name]).any() for name in two[0])


@pytest.mark.parametrize(
    "method", ["peft={method='lora'}", "peft={method='prefix'}", "peft={method='prompt'}", "peft={method='full'}"]
)
def test_what_acts_in_all_blocks_or_beside_them_keeps_nothing(method: str, open_bench: Open) -> None:
    bench = open_bench(method, QUIET)
    assert FrozenLayers.of(bench, Execution()) is None
    set_training_mode(bench)
    assert all(module.training for module in bench.model.modules())


@pytest.mark.parametrize("kind", ["llama", "gpt2", "vit"])
def test_other_architectures_step_over_too(
    kind: str, open_bench: Open, make_random_model: Callable[[str], nn.Module]
) -> None:
    """A bare stack: the states after the last block are those of the whole model."""
    base = make_random_model(kind)
    quiet = open_bench(TOP["head"], QUIET)
    task = replace_logits(kind)
    bench = replace(
        quiet, model=base, task=task, parameters=dict(quiet.head.named_parameters()), kept=type(quiet.kept)()
    )
    layers = FrozenLayers.of(bench, Execution())
    assert layers is not None
    assert layers.depth == 2
    with torch.inference_mode():
        batch = task.collate(["one", "two"], pad_id=0)
        whole = task.logits(base, quiet.head, batch)
        with layers.given(["one", "two"], pad_id=0):
            found = task.logits(base, quiet.head, batch)
    np.testing.assert_allclose(found, whole, atol=1e-5)


def replace_logits(kind: str) -> object:
    """A task that gives the model two rows of random input, each by its name."""
    rng = np.random.default_rng(0)
    shape, rows = ((3, 16, 16), "pixel_values") if kind == "vit" else ((5,), "input_ids")
    values = {name: rng.normal(size=shape) if kind == "vit" else rng.integers(3, 50, shape) for name in ("one", "two")}

    class Rows:
        def collate(self, names: list[str], *, pad_id: int) -> dict[str, torch.Tensor]:
            dtype = torch.float32 if kind == "vit" else torch.int64
            return {rows: torch.tensor(np.stack([values[name] for name in names]), dtype=dtype)}

        def logits(self, model: nn.Module, head: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
            return model(**batch).last_hidden_state

    return Rows()
