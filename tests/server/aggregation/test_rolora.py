import pytest

from common.state import AdapterSchema, TensorSpec
from server.aggregation.rolora import RoLoRA

NAMES = ("head.bias", "q.lora_A.weight", "q.lora_B.weight")
SHARED = AdapterSchema(tuple(TensorSpec(name, (1, 1), "float32") for name in NAMES))


@pytest.mark.parametrize(("number", "letter"), [(1, "B"), (2, "A"), (3, "B"), (4, "A")])
def test_b_is_first_since_a_has_no_gradient_while_b_is_0(number: int, letter: str) -> None:
    plan = RoLoRA().plan(number, {}, "a", SHARED)
    assert plan.active == ("head.bias", f"q.lora_{letter}.weight")
