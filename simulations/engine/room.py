"""How many clients one group takes: as many as fill the processor, and no more than memory holds, which is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING, Final

from client.execution import Execution
from client.forward import pad_id, to_device
from client.training import forked, set_training_mode
from common.machine import available_memory
from common.tasks import AnyExample
from common.workbench import Workbench

if TYPE_CHECKING:
    from torch import Tensor

    from client.site_rows import SiteRows

FULL_TOKENS = 4096
"""Of one step: more gain nothing on two cores (docs/simulator.md); a GPU takes more."""
FULL_TOKENS_GPU = 32768
MOST_CLIENTS: Final = 32
"""Of one group: each has some Python of its own in every step, and a worker of Ray that dies has as many done again."""
MOST_BYTES: Final = 64 << 20
"""Of what the clients of one group are sent, and answer, together."""
SHARE_OF_MEMORY = 0.5
"""Of what is free, that all workers' steps may take together."""


def clients_that_fill(sites: Mapping[str, SiteRows], batch_size: int, execution: Execution) -> int:
    """Return how many clients of middling size bring a step to the tokens that keep a processor busy."""
    full = FULL_TOKENS if execution.device == "cpu" else FULL_TOKENS_GPU
    tokens = step_tokens(sites, batch_size)
    return max(1, min(MOST_CLIENTS, round(full / tokens))) if tokens else 1


def step_tokens(sites: Mapping[str, SiteRows], batch_size: int) -> float:
    """Return the tokens of one step of a client of middling size; 0 where none has rows."""
    tokens = [_tokens(rows.train.examples, batch_size) for rows in sites.values() if len(rows.train)]
    return median(tokens) if tokens else 0.0


def _tokens(examples: Sequence[AnyExample], batch_size: int) -> float:
    lengths = [example.length for example in examples]
    return min(batch_size, len(lengths)) * sum(lengths) / len(lengths)


def most_clients(adapter_bytes: int) -> int:
    """Return how many clients a group may have where each is sent so much, and answers about as much.

    >>> most_clients(300_000), most_clients(8 << 20), most_clients(1 << 30)
    (32, 8, 1)
    """
    return max(1, min(MOST_CLIENTS, MOST_BYTES // max(adapter_bytes, 1)))


def clients_that_fit(free_bytes: int, step_bytes: int, *, workers: int) -> int:
    """Return how many clients' steps fit into memory beside each other in each worker's group; at least one.

    >>> clients_that_fit(2**30, 2**24, workers=2)
    16
    """
    return max(1, int(SHARE_OF_MEMORY * free_bytes / (workers * max(step_bytes, 1))))


def step_bytes(bench: Workbench, examples: Sequence[AnyExample], execution: Execution) -> int:
    """Return the size of what one training step on these examples keeps for its backward pass, frozen tensors apart."""
    frozen = {t.data_ptr() for root in (bench.model, bench.head) for t in [*root.parameters(), *root.buffers()]}
    set_training_mode(bench)
    batch = to_device(bench.task.collate(examples, pad_id=pad_id(bench)), execution)
    with forked(execution, 0), _counting(frozen) as counted, execution.autocast():
        bench.task.logits(bench.model, bench.head, batch)
    return counted()


@contextmanager
def _counting(known: set[int]) -> Iterator[Callable[[], int]]:
    import torch

    sizes: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # a node that held its own output would never be freed

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield lambda: sum(sizes.values())


def free_bytes(device: str) -> int:
    """Return the memory that is free on a device, in bytes: a GPU's own, or the machine's."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    return available_memory()
