"""Nothing but the task's head is trained."""

from collections.abc import Callable

from common.peft_methods.head import Head
from common.workbench import Workbench


def test_only_the_head_travels(open_bench: Callable[..., Workbench]) -> None:
    bench = open_bench("peft={method='head'}")
    assert set(bench.parameters) == {"head.weight", "head.bias"}
    assert bench.base_parameters == sum(p.numel() for p in bench.model.parameters())
    assert Head().aggregates_linearly
