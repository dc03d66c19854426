"""How a site computes: device, precision, attention, threads. Resolved once, recorded, kept for the run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal, cast

from common.errors import DeviceError, UserError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

Precision = Literal["fp32", "bf16", "fp16"]


@dataclass(frozen=True)
class Execution:
    """Resolved values; together with bundle, seed and machine they fix the bytes of a result.

    device: torch's name (`cpu`, `cuda:0`). attention: transformers' name. threads: of each training call on the CPU.
    """

    device: str = "cpu"
    precision: Precision = "fp32"
    attention: str = "eager"
    threads: int = 1

    def to_json(self) -> dict[str, object]:
        """Return a value for results and checkpoints."""
        return asdict(self)

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context in which forward passes run: mixed precision unless fp32."""
        import torch

        if self.precision == "fp32":
            return nullcontext()
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float16
        return cast("AbstractContextManager[object]", torch.autocast(self.device.partition(":")[0], dtype=dtype))


def resolve(*, precision: str = "auto", device: str = "cpu", threads: int = 1) -> Execution:
    """Choose what `auto` leaves open: bf16 where the hardware multiplies it natively, eager attention on a CPU.

    On a CPU PyTorch's fused attention (`sdpa`) spends nearly half a step in its backward pass at the lengths of notes.
    """
    import torch

    if device == "auto":
        device = "cuda:0" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise DeviceError(f"device {device!r} is not known; use 'cpu', 'cuda:0' (or another GPU's number) or 'auto'")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise DeviceError(f"device {device!r} was asked for, but torch finds no GPU here; use device = 'cpu'")
    if threads < 1:
        raise UserError(f"threads = {threads}, expected at least 1")
    on_gpu = device.startswith("cuda")
    if precision == "fp16" and not on_gpu:
        raise UserError("training.precision = 'fp16' needs a GPU; use 'bf16', 'fp32' or 'auto' on a CPU")
    chosen = precision if precision != "auto" else ("bf16" if _has_bf16(on_gpu=on_gpu) else "fp32")
    return Execution(device, cast("Precision", chosen), "sdpa" if on_gpu else "eager", threads)


def _has_bf16(*, on_gpu: bool) -> bool:
    import torch

    if on_gpu:
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # private name, tested; torch has no public one for a CPU


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """Run with this number of torch threads: it changes the order of sums, hence the bytes of a result."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
