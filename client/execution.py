"""How a site computes: device, precision, attention, threads. Resolved once, recorded, kept for the run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Literal, cast

from client.devices import Found, choose_device, found_here
from common.errors import UserError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

Precision = Literal["fp32", "bf16", "fp16"]


@dataclass(frozen=True)
class Execution:
    """Resolved values; together with bundle, seed and machine they fix the bytes of a result.

    device: torch's name (`cpu`, `cuda:0`, `mps`). attention: transformers' name. threads: of each training call on the
    CPU.
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


def resolve(*, precision: str = "auto", device: str = "cpu", threads: int = 1, found: Found | None = None) -> Execution:
    """Choose what `auto` leaves open: bf16 where the hardware multiplies it natively, eager attention on a CPU.

    found: the devices of the machine; None looks at this one.
    On a CPU PyTorch's fused attention (`sdpa`) spends nearly half a step in its backward pass at the lengths of notes.
    """
    device = choose_device(device, found_here() if found is None else found)
    if threads < 1:
        raise UserError(f"threads = {threads}, expected at least 1")
    if precision == "fp16" and not device.startswith("cuda"):
        kind = "a CPU" if device == "cpu" else "Metal"
        raise UserError(f"training.precision = 'fp16' needs a CUDA GPU; use 'bf16', 'fp32' or 'auto' on {kind}")
    chosen = precision if precision != "auto" else ("bf16" if _has_bf16(device) else "fp32")
    return Execution(device, cast("Precision", chosen), "eager" if device == "cpu" else "sdpa", threads)


def by_row(execution: Execution) -> Execution:
    """Return the same with attention in plain steps: gradients of single rows do not come out of a fused kernel."""
    return replace(execution, attention="eager")


def _has_bf16(device: str) -> bool:
    import torch

    if device == "mps":
        return False  # it computes in bf16 on some systems only, and nothing says on which
    if device.startswith("cuda"):
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
