import numpy as np

from common.state import AdapterSchema
from server.aggregation import ClientUpdate
from server.aggregation.ffa_lora import FFALoRA

STATE = {"q.lora_A.weight": np.ones((1, 2)), "q.lora_B.weight": np.zeros((3, 1)), "head.bias": np.zeros(2)}


def test_every_round_trains_all_but_the_first_factors() -> None:
    for number in (1, 2, 7):
        plan = FFALoRA().plan(number, {}, "a", AdapterSchema.of(STATE))
        assert plan.active == ("head.bias", "q.lora_B.weight")


def test_the_second_factor_is_the_weighted_mean_and_the_first_keeps_its_bytes() -> None:
    # B_1 = [3 0 0]^T with weight 1 and B_2 = [0 3 0]^T with weight 2: their mean is [1 2 0]^T.
    updates = [
        ClientUpdate("a", {"q.lora_B.weight": np.array([[3.0], [0], [0]])}, 1, 1.0),
        ClientUpdate("b", {"q.lora_B.weight": np.array([[0.0], [3], [0]])}, 2, 2.0),
    ]
    made, memory = FFALoRA().step(STATE, FFALoRA().combine(updates, STATE), {})
    assert made["q.lora_B.weight"].T.tolist() == [[1, 2, 0]]
    assert made["q.lora_A.weight"] is STATE["q.lora_A.weight"]
    assert memory == {}
