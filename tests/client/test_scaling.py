"""Loss scaling on a CPU: with torch's own scaler, and with one that overflows when it is told to."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pytest
import torch

from client.execution import Execution
from client.recipe import Recipe
from client.scaling import Scaler, scaler_of
from client.steps import Setting, Step
from client.training import Trained, train
from common.errors import RefusedError
from common.state import Array
from common.workbench import Workbench

RECIPE = Recipe(learning_rate=0.01, batch_size=4, epochs=2, clip_norm=0.2, proximal_mu=0.1)
TEXTS = ("fever and cough", "rash", "pulse normal", "sprain and fever", "weight low", "sleep reduced and chills")
TARGETS = np.array((1, 0, 0, 0, 1, 1))
Open = Callable[..., Workbench]


@dataclass
class Overflowing:
    """A scaler of a fixed scale, whose loss is infinite at these steps; the interface is that of torch's."""

    at: Collection[int] = ()
    factor: float = 1024.0
    steps: int = 0
    taken: list[int] = field(default_factory=list)
    _found_inf: bool = False

    def scale(self, outputs: torch.Tensor) -> torch.Tensor:
        return outputs * (float("inf") if self.steps in self.at else self.factor)

    def unscale_(self, optimizer: torch.optim.Optimizer) -> None:
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        for gradient in gradients:
            gradient /= self.factor
        self._found_inf = not all(bool(gradient.isfinite().all()) for gradient in gradients)

    def step(self, optimizer: torch.optim.Optimizer) -> object:
        if not self._found_inf:
            self.taken.append(self.steps)
            optimizer.step()
        return None

    def update(self) -> None:
        self.steps += 1


def trained(bench: Workbench, scaler: Scaler | None, *, precision: str = "fp32", **setting: Any) -> Trained:
    return train(
        bench,
        list(bench.task.encode(bench.reader, TEXTS, TARGETS, max_length=bench.max_length)),
        RECIPE,
        active=bench.parameters,
        execution=Execution(precision=precision),  # type: ignore[arg-type] # a Literal
        rng=np.random.default_rng(0),
        dropout_seed=0,
        setting=Setting(scaler=scaler, **setting),
    )


def farthest(left: dict[str, Array], right: dict[str, Array]) -> float:
    return max(float(np.abs(left[name] - right[name]).max()) for name in left)


def norms_of(*steps: Step) -> list[torch.Tensor]:
    return [step.gradient_norm for step in steps]


def test_a_power_of_two_that_never_overflows_changes_nothing(open_bench: Open) -> None:
    """Neither clipping nor FedProx' term sees the scale: gradients are divided before."""
    plain, scaled = open_bench(), open_bench()
    expected, found = trained(plain, None), trained(scaled, Overflowing())
    assert farthest(plain.read(), scaled.read()) < 1e-7
    assert found == Trained(pytest.approx(expected.loss, rel=1e-6), 4, pytest.approx(expected.gradient_norm, rel=1e-6))


def test_a_skipped_step_is_no_divergence_and_does_not_count(open_bench: Open) -> None:
    """The first and the third of four steps overflow: the mean loss is that of the others."""
    bench, scaler, seen = open_bench(), Overflowing(at=(0, 2)), list[Step]()
    found = trained(bench, scaler, after_step=seen.append)
    assert scaler.taken == [1, 3]
    means = [float(left + right) / 2 for left, right in [(seen[1].loss, seen[3].loss), norms_of(seen[1], seen[3])]]
    assert found == Trained(pytest.approx(means[0], rel=1e-6), 4, pytest.approx(means[1], rel=1e-6))
    assert [bool(step.gradient_norm.isfinite()) for step in seen] == [False, True, False, True]
    assert all(np.isfinite(array).all() for array in bench.read().values())


def test_a_step_that_was_skipped_leaves_the_model_as_it_was(open_bench: Open) -> None:
    bench = open_bench()
    states = [bench.read()]
    trained(bench, Overflowing(at=(0, 2)), after_step=lambda _: states.append(bench.read()))
    assert farthest(states[0], states[1]) == farthest(states[2], states[3]) == 0
    assert min(farthest(states[1], states[2]), farthest(states[3], states[4])) > 0


def test_a_round_of_skipped_steps_only_is_refused(open_bench: Open) -> None:
    with pytest.raises(RefusedError, match="TRAINING_DIVERGED"):
        trained(open_bench(), Overflowing(at=range(4)))


def test_torch_s_own_scaler_skips_too_and_then_fits(open_bench: Open) -> None:
    """A steep head and a scale near float32's end, 2^128: once the scale has backed off, training goes on."""
    bench = open_bench()
    bench.write({**bench.read(), "head.weight": 1e4 * bench.read()["head.weight"]})
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**125, backoff_factor=2.0**-60)
    start, seen = bench.read(), list[Step]()
    found = trained(bench, cast("Scaler", scaler), after_step=seen.append)
    skipped = [not bool(step.gradient_norm.isfinite()) for step in seen]
    assert any(skipped)
    assert not skipped[-1]
    assert scaler.get_scale() < 2.0**70
    taken = [float(step.loss) for step, each in zip(seen, skipped, strict=True) if not each]
    assert found.loss == pytest.approx(sum(taken) / len(taken), rel=1e-6)
    assert farthest(start, bench.read()) > 1e-3


def test_fp16_trains_near_fp32(open_bench: Open) -> None:
    """The whole way of half precision, autocast and torch's scaler, which a CPU has too."""
    exact, rounded = open_bench(), open_bench()
    expected, found = trained(exact, None), trained(rounded, None, precision="fp16")
    assert found.loss == pytest.approx(expected.loss, rel=0.1)
    assert 0 < farthest(exact.read(), rounded.read()) < 0.1
    assert {array.dtype.name for array in rounded.read().values()} == {"float32"}


def test_only_fp16_is_scaled_and_afresh_each_time() -> None:
    assert scaler_of(Execution(precision="fp32")) is None
    assert scaler_of(Execution(precision="bf16")) is None
    first = scaler_of(Execution(precision="fp16"))
    assert isinstance(first, torch.amp.GradScaler)
    assert first is not scaler_of(Execution(precision="fp16"))
