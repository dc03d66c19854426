"""What a simulation must not have loaded at its first training step: each of them costs as much as the step itself."""

import pytest

from simulations.bench.start import STUDIES, measure_start

HEAVY = {
    "matplotlib",
    "opacus",
    "plotly",
    "ray",
    "scipy.optimize",
    "sklearn",
    "sympy",
    "torch._dynamo",
    "torch._inductor",
    "torch.distributed.fsdp",
    "torch.distributed.tensor",
    "torch.fx.experimental.symbolic_shapes",
    "transformers.distributed.tensor_parallel",
    "transformers.models",
}


@pytest.mark.parametrize(
    "study", [pytest.param(name, marks=[pytest.mark.slow] * (name == "heart")) for name in STUDIES]
)
def test_a_first_step_loads_nothing_it_does_not_use(study: str) -> None:
    found = measure_start(study)
    assert sorted(HEAVY & found.loaded) == []
    assert {"torch", "transformers", "peft"} <= found.loaded
    assert found.cpu_seconds > 0
