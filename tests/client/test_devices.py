"""The site's choice of a device, on machines that this one is not."""

import pytest
import torch

from client.devices import Found, choose_device, found_here
from common.errors import DeviceError

GPUS = Found(cuda=2)


@pytest.mark.parametrize(
    ("wanted", "found", "chosen"),
    [
        ("cpu", GPUS, "cpu"),
        ("cuda", GPUS, "cuda:0"),
        ("cuda:1", GPUS, "cuda:1"),
        ("auto", GPUS, "cuda:0"),
        ("auto", Found(cuda=1, mps=True), "cuda:0"),
        ("auto", Found(mps=True), "mps"),
        ("mps", Found(mps=True), "mps"),
        ("auto", Found(), "cpu"),
    ],
)
def test_a_device_that_is_there_is_chosen(wanted: str, found: Found, chosen: str) -> None:
    assert choose_device(wanted, found) == chosen


@pytest.mark.parametrize(
    ("wanted", "found", "said"),
    [
        ("cuda", Found(), "finds no GPU here; use device = 'cpu'"),
        ("cuda:1", Found(cuda=1), "finds only 'cuda:0' here"),
        ("cuda:9", GPUS, "finds 'cuda:0' to 'cuda:1' here"),
        ("mps", GPUS, "finds no Metal here"),
        ("tpu", GPUS, "'tpu' is not known; use 'cpu', 'cuda', 'cuda:0'"),
        ("cuda:-1", GPUS, "is not known"),
        ("cpu:0", GPUS, "is not known"),
        ("cpu\n", GPUS, "is not known"),
    ],
)
def test_another_is_refused_with_what_there_is(wanted: str, found: Found, said: str) -> None:
    with pytest.raises(DeviceError, match=said):
        choose_device(wanted, found)


def test_this_machine_is_what_torch_says() -> None:
    assert found_here().cuda == torch.cuda.device_count()
