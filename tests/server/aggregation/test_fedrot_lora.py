import pytest

from common.errors import StudyError
from common.plugins import build
from common.state import AdapterSchema
from server.aggregation.fedrot_lora import FedRotLoRA


def test_sites_turn_by_a_in_odd_rounds_and_by_b_in_even_ones() -> None:
    plans = [FedRotLoRA(rotation=0.4).plan(number, {}, "a", AdapterSchema(())).extra for number in (1, 2, 3)]
    assert plans == [{"rotation": 0.4, "rotate_b": of} for of in (0.0, 1.0, 0.0)]


@pytest.mark.parametrize("rotation", [-0.1, 1.1])
def test_a_share_of_a_rotation_is_a_share(rotation: float) -> None:
    with pytest.raises(StudyError, match="option rotation"):
        build("server.aggregation", "fedrot-lora", {"rotation": rotation}, key="aggregation.name")
