import pytest
import torch

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
    assert resolve(device="auto").device == ("cuda:0" if torch.cuda.is_available() else "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_said() -> None:
    with pytest.raises(UserError, match="finds no GPU here; use device = 'cpu'"):
        resolve(device="cuda:1")


def test_fp16_is_refused_on_a_cpu() -> None:
    with pytest.raises(UserError, match="'fp16' needs a GPU; use 'bf16', 'fp32' or 'auto' on a CPU"):
        resolve(precision="fp16")


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
