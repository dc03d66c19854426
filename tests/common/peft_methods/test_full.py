"""Every tensor of the base model is trained, and none is counted twice."""

from collections.abc import Callable
from pathlib import Path

from client.policy import Policy
from common.models import load_base
from common.workbench import Workbench


def test_every_tensor_of_the_base_model_travels(open_bench: Callable[..., Workbench], tiny_model: Path) -> None:
    bench, base = open_bench("peft={method='full'}"), load_base(tiny_model)
    assert set(bench.parameters) == {name for name, _ in base.named_parameters()} | {"head.weight", "head.bias"}
    assert bench.base_parameters == 0


def test_a_real_site_refuses_it_unless_named() -> None:
    assert "full" not in Policy().methods
    assert {"lora", "bitfit"} <= set(Policy().methods)
