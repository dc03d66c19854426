"""What is decided before Ray runs: the device of a worker, and who may give a Ray of our own commands."""

import pytest

from client.execution import Execution
from common.errors import UserError
from simulations.ray_runtime import check_device, lock


def test_each_worker_knows_its_gpu_as_the_first() -> None:
    check_device(Execution(device="cuda:0"))
    check_device(Execution(device="cpu"))
    with pytest.raises(UserError, match="cuda:0"):
        check_device(Execution(device="cuda:1"))


def test_the_secret_is_for_a_ray_of_our_own_only() -> None:
    own: dict[str, str] = {}
    lock(own, {})
    assert own["RAY_AUTH_MODE"] == "token"
    assert len(own["RAY_AUTH_TOKEN"]) == 64
    joined = {"RAY_ADDRESS": "10.0.0.1:6379"}
    lock(joined, {})
    assert joined == {"RAY_ADDRESS": "10.0.0.1:6379"}
    late: dict[str, str] = {}
    lock(late, {"ray": None})
    assert late == {}  # Ray has read what it needed to know when it was imported
