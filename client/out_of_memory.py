"""Out of memory is nobody's bug: one line in the site's log says what to change, and a fixed word goes out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from common.errors import RefusedError

if TYPE_CHECKING:
    from client.execution import Execution
    from common.study import Study

T = TypeVar("T")
SITE_LOG = logging.getLogger("fedpeft.site")
_SAID: Final = ("DefaultCPUAllocator", "out of memory")
"""What torch says where it has no exception of its own: on a CPU, and on Metal."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory could not be had."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in _SAID)


def told_when_out_of_memory(work: Callable[[], T], study: Study, execution: Execution) -> T:
    """Return what `work` makes; a lack of memory becomes a line of the log and RefusedError("OUT_OF_MEMORY")."""
    try:
        return work()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        SITE_LOG.warning("OUT_OF_MEMORY: %s", advice(study, execution))
    # Out here the exception is gone, and with it the frames that held the failed step's tensors.
    give_back(execution.device)
    raise RefusedError("OUT_OF_MEMORY")


def advice(study: Study, execution: Execution) -> str:
    """Return what was used, and what would need less, in one line.

    The first remedy leaves the result as it is; the others are another study.
    """
    training, length = study.training, study.task.max_length
    half = "" if execution.precision != "fp32" else ", or precision = 'bf16' where the hardware has it"
    return (
        f"{execution.device} has no room for study {study.name} with batch_size = {training.batch_size}, "
        f"accumulate = {training.accumulate}, max_length = {length} and precision {execution.precision}. Free memory "
        f"there, or ask for a study with accumulate = {min(2 * training.accumulate, training.batch_size)} "
        f"(the same result), a smaller batch_size or max_length{half}"
    )


def give_back(device: str) -> None:
    """Let the device's cached memory go, so that others and the next attempt have it."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.empty_cache()
    elif device == "mps":
        torch.mps.empty_cache()
