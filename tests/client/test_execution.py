import pytest
import torch

from client.devices import Found
from client.execution import Execution, limited_threads, resolve
from common.errors import UserError


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_is_asked_for_is_what_is_recorded(precision: str) -> None:
    execution = resolve(precision=precision, threads=2)
    assert execution.to_json() == {"device": "cpu", "precision": precision, "attention": "eager", "threads": 2}
    assert Execution(**execution.to_json()) == execution  # type: ignore[arg-type] # JSON


def test_auto_is_resolved_once_and_says_to_what() -> None:
    assert resolve(precision="auto").precision in ("fp32", "bf16")
    assert resolve(precision="auto") == resolve(precision="auto")
    assert resolve(device="auto", found=Found(cuda=0)).device == "cpu"


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_said() -> None:
    with pytest.raises(UserError, match="finds no GPU here; use device = 'cpu'"):
        resolve(device="cuda:1")


def test_fp16_is_refused_on_a_cpu() -> None:
    with pytest.raises(UserError, match="'fp16' needs a CUDA GPU; use 'bf16', 'fp32' or 'auto' on a CPU"):
        resolve(precision="fp16")


def test_metal_is_used_in_fp32_unless_bf16_is_asked_for() -> None:
    mac = Found(mps=True)
    assert resolve(device="auto", found=mac) == Execution("mps", "fp32", "sdpa", 1)
    assert resolve(device="mps", precision="bf16", found=mac).precision == "bf16"
    with pytest.raises(UserError, match="'auto' on Metal"):
        resolve(device="mps", precision="fp16", found=mac)


@pytest.mark.parametrize("threads", [0, -1])
def test_no_threads_are_refused(threads: int) -> None:
    with pytest.raises(UserError, match="expected at least 1"):
        resolve(threads=threads)


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_products_are_computed_in_the_precision(precision: str, dtype: torch.dtype) -> None:
    one = torch.ones(2, 2)
    with Execution(precision=precision).autocast():  # type: ignore[arg-type] # a Literal
        assert (one @ one).dtype == dtype
    assert (one @ one).dtype == torch.float32


def test_the_number_of_threads_is_given_back_even_after_a_failure() -> None:
    before = torch.get_num_threads()
    with limited_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with pytest.raises(KeyError), limited_threads(before + 1):
        raise KeyError
    assert torch.get_num_threads() == before
