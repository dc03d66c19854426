"""How many workers there are, and what Ray is told of them; no GPU is needed to know."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import UserError
from simulations.on_ray.room import PARTS, Machine, Need, Plan, plan


def planned(
    *machines: Machine,
    threads: int = 1,
    on_gpu: bool = False,
    sites: int = 100,
    asked: int | None = None,
    begun: int | None = None,
) -> Plan:
    return plan(machines, threads=threads, on_gpu=on_gpu, sites=sites, asked=asked, begun=begun)


@given(st.integers(1, 8), st.integers(1, 1000), st.integers(1, 64))
def test_there_are_never_more_workers_than_sites_or_cores(threads: int, sites: int, cores: int) -> None:
    if cores < threads:
        return
    found = planned(Machine(cores), threads=threads, sites=sites)
    assert found.workers == found.started == min(sites, cores // threads)
    assert found.need == Need(threads)


def test_each_gpu_has_a_worker_unless_the_user_wants_more() -> None:
    assert planned(Machine(16, 2), on_gpu=True) == Plan(2, 2, Need(1, PARTS))
    assert planned(Machine(16, 2), on_gpu=True, asked=8) == Plan(8, 8, Need(1, PARTS // 4))


def test_ray_is_told_of_cores_and_a_part_of_a_gpu_and_to_repeat_nothing() -> None:
    need = planned(Machine(16, 1), threads=2, on_gpu=True, asked=4).need
    assert need.options == {"num_cpus": 2, "num_gpus": 0.25, "max_restarts": 0, "max_task_retries": 0}


@given(st.integers(1, 8), st.integers(1, 100))
def test_as_many_workers_as_are_asked_for_fit_on_the_gpus_of_one_machine(gpus: int, asked: int) -> None:
    """And by Ray's own count: workers on one GPU have no more than the whole of it."""
    need = planned(Machine(100, gpus), on_gpu=True, asked=asked).need
    on_one = PARTS // need.gpu_parts
    assert on_one * gpus >= asked
    assert on_one * need.gpu <= 1.0


def test_a_worker_is_wholly_on_one_machine() -> None:
    assert planned(Machine(3), Machine(3), threads=2).workers == 2
    assert planned(Machine(1, 4), Machine(8, 1), on_gpu=True).workers == 2


@pytest.mark.parametrize(
    ("machines", "on_gpu", "asked", "found"),
    [
        ([Machine(4, 0)], True, 2, "room for 0, 1 core and 0.5 of a GPU each"),
        ([Machine(4, 0)], True, None, "no machine of the Ray cluster has room for a worker, 1 core and 1 of a GPU"),
        ([Machine(2), Machine(2)], False, 5, "room for 4, 1 core each"),
        ([], False, None, "no machine"),
    ],
)
def test_too_little_room_is_said(machines: list[Machine], on_gpu: bool, asked: int | None, found: str) -> None:
    with pytest.raises(UserError, match=found):
        planned(*machines, on_gpu=on_gpu, asked=asked)


def test_a_run_goes_on_as_it_was_begun_by_fewer_where_there_is_less_room() -> None:
    assert planned(Machine(2), begun=8) == Plan(8, 2, Need(1))
    assert planned(Machine(16), begun=2) == Plan(2, 2, Need(1))
