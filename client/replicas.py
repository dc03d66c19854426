"""Several processes of one site that train as one, each with the whole model on a device of its own.

torch.distributed brings them together: gloo between CPUs, nccl between GPUs. They meet at a file in a folder that only
the site's user can read, and talk over the loopback.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final, Literal

from client.place import Place

Backend = Literal["gloo", "nccl"]
INTERFACES: Final = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
TIMEOUT: Final = timedelta(minutes=10)
"""How long a process waits for the others in one step before it gives up."""


def backend_of(device: str) -> Backend:
    """Return what processes on such devices talk by."""
    return "nccl" if device.startswith("cuda") else "gloo"


@contextmanager
def join(rank: int, size: int, *, meeting: Path, backend: Backend) -> Iterator[Place]:
    """Meet the other processes at the file `meeting`, which no earlier meeting used, and yield this one's place."""
    from torch import distributed

    for name in INTERFACES:  # a cluster's own choice would send gradients over its network, in clear
        os.environ[name] = "lo"  # without one gloo asks the name server for this machine's address
    distributed.init_process_group(
        backend, init_method=f"file://{meeting.absolute()}", rank=rank, world_size=size, timeout=TIMEOUT
    )
    try:
        yield Place(rank, size)
    finally:
        distributed.destroy_process_group()
