"""A worker of Ray: plays chunks of a run's sites on the grid that a run in process has, one for each chunk.

Nothing of Flower, torch or ours that imports them is imported before the process knows what they must not report.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final

from common.errors import UserError

if TYPE_CHECKING:
    from flwr.app import Message

    from simulations.inprocess import InProcessGrid
    from simulations.on_ray.letters import Answered, Arrays, Letter
    from simulations.virtual import VirtualSites

TOGETHER_BYTES: Final = 16 << 20
"""Of replies that go back in one object of Ray, which costs some milliseconds."""
TOGETHER_S: Final = 0.2
"""For which a reply waits for others at most, once one more has come."""
OF_A_SHARE: Final = 0.9
"""Of its share of a GPU's memory that a worker's tensors may take; the rest is for its context and the server's."""


class Player:
    """One process; the base model and the rows of the run in `folder` are read once, with the first chunk.

    environ: what the server's process has set, of `common.quiet`. gpu: this worker's share of its GPU; 0 without one.
    """

    def __init__(self, folder: str, environ: Mapping[str, str], gpu: float) -> None:
        os.environ.update(environ)
        self._folder, self._gpu = folder, gpu

    def play(self, letters: Sequence[Letter], *beside: Arrays) -> Iterator[list[Answered]]:
        """Yield replies, some at a time, in the order in which the sites answer. Raises UserError."""
        from simulations.inprocess import task_identity
        from simulations.site_grid import site_grid

        sites = self._sites()
        engine = None if sites.engine is None else sites.engine.one_worker
        grid = site_grid(sites, [letter.site for letter in letters], engine=engine)
        with task_identity():
            yield from together(played(grid, letters, beside))

    def _sites(self) -> VirtualSites:
        """Return the run's sites, as this process has them after the first call."""
        from torch import OutOfMemoryError

        from simulations.folder import RunFolder
        from simulations.virtual import resident_sites

        if not RunFolder(Path(self._folder)).is_used():
            raise UserError(
                f"a worker of Ray on {socket.gethostname()} does not see the run in {self._folder}; "
                "where RAY_ADDRESS names several machines, --out must lie on a disk that all of them share"
            )
        _keep_to(self._gpu)
        try:
            return resident_sites(self._folder)
        except OutOfMemoryError:
            raise UserError(
                f"the base model does not fit into {self._gpu:g} of a GPU on {socket.gethostname()}; "
                "give fewer --workers"
            ) from None


def _keep_to(share: float) -> None:
    """Have this process fail, rather than another of the same GPU, where it takes more than its share."""
    if 0 < share < 1:
        import torch

        torch.cuda.set_per_process_memory_fraction(OF_A_SHARE * share)


def played(grid: InProcessGrid, letters: Sequence[Letter], beside: Sequence[Arrays]) -> Iterator[tuple[int, Message]]:
    """Yield each reply with the number of its letter, as the grid of just the letters' sites has them."""
    from simulations.on_ray.letters import message_of, records_of

    nodes, records = [node.node_id for node in grid.get_nodes()], records_of(beside)
    messages = [message_of(letter, records, node=node) for letter, node in zip(letters, nodes, strict=True)]
    asked = dict(zip(grid.push_messages(messages), (letter.number for letter in letters), strict=True))
    while asked:
        for reply in grid.pull_messages(list(asked)):
            yield asked.pop(reply.metadata.reply_to_message_id), reply


def together(
    replies: Iterable[tuple[int, Message]], clock: Callable[[], float] = monotonic
) -> Iterator[list[Answered]]:
    """Yield replies as they go back: so many at once that an object of Ray is worth its cost, and none too late."""
    from common import wire
    from simulations.on_ray.letters import answered

    ready: list[Answered] = []
    size_bytes, since = 0, clock()
    for number, reply in replies:
        ready.append(answered(number, reply))
        size_bytes += wire.size_bytes(reply.content) if reply.has_content() else 0
        if size_bytes >= TOGETHER_BYTES or clock() - since >= TOGETHER_S:
            yield ready
            ready, size_bytes, since = [], 0, clock()
    if ready:
        yield ready
