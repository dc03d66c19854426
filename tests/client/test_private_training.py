"""Private training: what it is without noise, how much noise there is, and how far one patient moves it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from client.execution import Execution
from client.hooked_gradients import HookedGradients
from client.private_training import Protection, train_privately
from client.recipe import Recipe
from client.steps import Setting, Step
from client.training import Trained, train
from common.errors import RefusedError
from common.privacy._accounting import Spending
from common.privacy._noise import SECURE, Entropy, of_generator
from common.state import AdapterState, digest_state, norm, subtract
from common.tasks import Example
from common.workbench import Workbench

Open = Callable[..., Workbench]
TEXTS = tuple(
    f"{words} pulse {state}" for words in ("fever and cough", "rash", "sprain") for state in ("normal", "low")
)
TARGETS = (1, 1, 0, 0, 0, 1)
OWN = ("p1", "p2", "p3", "p4", "p5", "p6")
RECIPE = Recipe(learning_rate=0.01, batch_size=6, epochs=1, clip_norm=None)
SILENT = Entropy(normal=np.zeros, uniform=np.random.default_rng(5).random)
"""AdamW makes a step of any noise, however small, where a gradient is 0, as that of LoRA's A is in the beginning."""


@pytest.fixture
def bench(open_bench: Open) -> Workbench:
    found = open_bench()
    for module in found.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return found


def examples_of(bench: Workbench) -> list[Example]:
    return bench.task.encode(bench.reader, TEXTS, TARGETS, max_length=bench.max_length)


def protection(noise: float = 1.0, q: float = 1.0, steps: int = 3, **changes: object) -> Protection:
    made = Protection(
        Spending(noise, q, steps),
        clip_norm=1e6,
        rows_per_patient=8,
        start=HookedGradients.start,
        entropy=SILENT,
    )
    return replace(made, **changes)  # type: ignore[arg-type] # of the fields above


def ours(bench: Workbench, how: Protection, patients: tuple[str, ...] = OWN, **changes: object) -> Trained:
    keywords = {"active": list(bench.parameters), "execution": Execution(), **changes}
    examples = examples_of(bench)[: len(patients)]
    return train_privately(bench, examples, patients, RECIPE, how, **keywords)  # type: ignore[arg-type]


def test_without_noise_and_bound_it_is_plain_training_on_all_rows(open_bench: Open, bench: Workbench) -> None:
    start = bench.read()
    ours(bench, protection())
    private = bench.read()
    bench.write(start)
    train(
        bench,
        examples_of(bench),
        replace(RECIPE, epochs=3),
        active=list(bench.parameters),
        execution=Execution(),
        rng=np.random.default_rng(0),
        dropout_seed=1,
    )
    plain = bench.read()
    assert norm(subtract(plain, start)) > 0.1
    assert norm(subtract(private, plain)) < 2e-3 * norm(subtract(plain, start))


def test_the_rows_of_a_patient_count_as_their_mean_wherever_they_lie(bench: Workbench) -> None:
    """Six patients with one row each, and the same rows of two patients: the mean of means of equal sizes."""
    start = bench.read()
    ours(bench, protection())
    one = bench.read()
    bench.write(start)
    ours(bench, protection(), ("a", "b", "a", "b", "a", "b"))
    assert norm(subtract(one, bench.read())) < 2e-3 * norm(subtract(one, start))


@dataclass
class Recorded:
    """Numbers from a generator, and how many of each kind were asked for."""

    rng: np.random.Generator
    normal: int = 0
    uniform: int = 0

    @property
    def entropy(self) -> Entropy:
        return Entropy(self._normal, self._uniform)

    def _normal(self, size: int) -> np.ndarray:
        self.normal += size
        return self.rng.standard_normal(size)

    def _uniform(self, size: int) -> np.ndarray:
        self.uniform += size
        return self.rng.random(size)


def gradients(bench: Workbench, how: Protection, patients: tuple[str, ...] = OWN) -> AdapterState:
    """The gradient of one step: what plain SGD at rate 1 takes off; AdamW would hide its size."""
    start = bench.read()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("client.private_training.make_optimizer", _sgd)
        ours(bench, how, patients)
    moved = subtract(start, bench.read())
    bench.write(start)
    return {name: each.astype(np.float64) / RECIPE.learning_rate for name, each in moved.items()}


def _sgd(bench: Workbench, active: list[str], *, learning_rate: float, **_: object) -> torch.optim.Optimizer:
    return torch.optim.SGD([{"params": [bench.parameters[n] for n in active], "rate_factor": 1.0}], lr=learning_rate)


def test_noise_has_the_standard_deviation_that_is_accounted_for(bench: Workbench) -> None:
    """z C over the expected number of patients, on every number, also in a step without any patient."""
    recorded = Recorded(np.random.default_rng(0))
    how = protection(noise=2.0, q=1e-12, steps=1, clip_norm=0.5, entropy=recorded.entropy)
    found = gradients(bench, how)
    numbers = np.concatenate([each.reshape(-1) for each in found.values()])
    expected = 2.0 * 0.5 / (1e-12 * len(OWN))
    assert recorded.normal == numbers.size
    assert recorded.uniform == len(OWN)
    assert abs(numbers.std() / expected - 1) < 3 / np.sqrt(2 * numbers.size)


def test_one_patient_moves_a_step_by_no_more_than_the_bound_on_real_tensors(bench: Workbench) -> None:
    bound = 0.05
    how = protection(steps=1, clip_norm=bound)
    all_ = gradients(bench, how, OWN)
    for patients in (OWN[:5], ("p1", "p2", "p3", "p4", "p5", "p5")):
        other = gradients(bench, how, patients)
        both = {name: all_[name] * 6 - other[name] * len(set(patients)) for name in all_}
        change = norm(both)
        assert 0.2 * bound < change <= 2 * bound * (1 + 1e-3)
    assert norm({name: each * 6 for name, each in all_.items()}) <= 6 * bound * (1 + 1e-4)


def test_removing_a_patient_moves_the_sum_by_at_most_the_bound(bench: Workbench) -> None:
    bound = 0.05
    how = protection(steps=1, clip_norm=bound)
    sums = [{n: g * count for n, g in gradients(bench, how, OWN[:count]).items()} for count in (6, 5)]
    assert norm(subtract(*sums)) <= bound * (1 + 1e-3)


def test_weights_really_move_and_only_active_ones(bench: Workbench) -> None:
    start, active = bench.read(), [name for name in bench.parameters if "head" not in name]
    how = protection(noise=0.5, q=0.5, steps=2, clip_norm=1.0, entropy=SECURE)
    ours(bench, how, active=active)
    after = bench.read()
    moved = {name for name in after if not np.array_equal(after[name], start[name])}
    assert moved == set(active)


def test_every_step_that_is_accounted_for_is_taken_and_told_to_the_site(bench: Workbench) -> None:
    steps: list[Step] = []
    trained = ours(bench, protection(steps=4, q=0.4), setting=Setting(after_step=steps.append))
    assert [step.number for step in steps] == [0, 1, 2, 3]
    assert trained.steps == 4


def test_the_same_generator_gives_the_same_bytes_and_entropy_never(bench: Workbench) -> None:
    start, digests = bench.read(), []
    for how in (protection(noise=1.0, q=0.5), protection(noise=1.0, q=0.5)):
        bench.write(start)
        ours(bench, replace(how, entropy=of_generator(np.random.default_rng(9)), clip_norm=1.0))
        digests.append(digest_state(bench.read()))
    assert digests[0] == digests[1]
    secure = Protection(Spending(1.0, 0.5, 3), 1.0, 8, HookedGradients.start)
    for _ in range(2):
        bench.write(start)
        ours(bench, secure)
        digests.append(digest_state(bench.read()))
    assert len(set(digests)) == 3


def test_dropout_comes_from_the_noise_s_own_source_and_not_from_a_seed_that_the_server_knows(
    open_bench: Open,
) -> None:
    """By a known seed a patient more would change the masks, and so the gradients, of those after him."""
    dropping = open_bench()
    dropouts = [module for module in dropping.model.modules() if isinstance(module, torch.nn.Dropout)]
    for module in dropouts:
        module.p = 0.5
    found = [
        gradients(dropping, protection(steps=1, entropy=Entropy(np.zeros, np.random.default_rng(seed).random)))
        for seed in (1, 1, 2)
    ]
    assert dropouts
    assert norm(subtract(found[0], found[1])) == 0
    assert norm(subtract(found[0], found[2])) > 0.05 * norm(found[0])


def test_how_rows_are_dealt_into_parts_changes_nothing(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    how = protection(steps=1, clip_norm=0.05)
    whole = gradients(bench, how, ("a", "b", "a", "c", "b", "d"))
    monkeypatch.setattr("client.private_training.MOST_ROWS", 1)
    parts = gradients(bench, how, ("a", "b", "a", "c", "b", "d"))
    assert norm(subtract(whole, parts)) < 1e-4 * norm(whole)


def test_proximal_term_pulls_without_a_look_at_rows(bench: Workbench) -> None:
    start = bench.read()
    ours(bench, protection(noise=1.0, clip_norm=1.0))
    free = norm(subtract(bench.read(), start))
    bench.write(start)
    tied = replace(RECIPE, proximal_mu=1e3)
    train_privately(
        bench,
        examples_of(bench),
        OWN,
        tied,
        protection(noise=1.0, clip_norm=1.0),
        active=list(bench.parameters),
        execution=Execution(),
    )
    assert norm(subtract(bench.read(), start)) < free


def test_divergence_is_seen_on_noised_tensors(bench: Workbench) -> None:
    broken = Entropy(lambda size: np.full(size, np.inf), lambda size: np.full(size, 0.5))
    with pytest.raises(RefusedError, match="TRAINING_DIVERGED"):
        ours(bench, protection(noise=1.0, entropy=broken))
