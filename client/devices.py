"""Which device a site computes on: what its settings ask for, against what torch finds on this machine."""

from __future__ import annotations

import re
from dataclasses import dataclass

from common.errors import DeviceError

_KNOWN = re.compile(r"cpu|mps|cuda(?::(\d+))?")


@dataclass(frozen=True)
class Found:
    """What torch finds: the number of CUDA GPUs, and whether Apple's Metal is there."""

    cuda: int = 0
    mps: bool = False


def found_here() -> Found:
    """Look at this machine."""
    import torch

    cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return Found(cuda=cuda, mps=bool(torch.backends.mps.is_available()))


def choose_device(wanted: str, found: Found) -> str:
    """Return torch's name of the device, with its number; `auto` is the first GPU, else the CPU. Raises DeviceError.

    >>> choose_device("auto", Found(cuda=2)), choose_device("auto", Found(mps=True)), choose_device("auto", Found())
    ('cuda:0', 'mps', 'cpu')
    """
    if wanted == "auto":
        return "cuda:0" if found.cuda else "mps" if found.mps else "cpu"
    known = _KNOWN.fullmatch(wanted)
    if known is None:
        raise DeviceError(
            f"device {wanted!r} is not known; use 'cpu', 'cuda', 'cuda:0' (or another GPU's number), 'mps' or 'auto'"
        )
    if wanted == "mps" and not found.mps:
        raise DeviceError("device 'mps' was asked for, but torch finds no Metal here; use device = 'cpu'")
    if wanted.startswith("cuda"):
        return f"cuda:{_checked_number(wanted, int(known[1] or 0), found.cuda)}"
    return wanted


def _checked_number(wanted: str, number: int, count: int) -> int:
    if not count:
        raise DeviceError(f"device {wanted!r} was asked for, but torch finds no GPU here; use device = 'cpu'")
    if number >= count:
        here = "only 'cuda:0'" if count == 1 else f"'cuda:0' to 'cuda:{count - 1}'"
        raise DeviceError(f"device {wanted!r} was asked for, but torch finds {here} here; use one of those")
    return number
