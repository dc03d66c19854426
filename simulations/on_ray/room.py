"""How many workers a run has on Ray: for how many there is room, and what each gets of its machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Final  # Ray's options

from common.errors import UserError

PARTS: Final = 10_000
"""Ray counts a GPU in such parts."""


@dataclass(frozen=True)
class Machine:
    """What a machine has for workers."""

    cores: int
    gpus: int = 0


@dataclass(frozen=True)
class Need:
    """What one worker needs: whole cores, and a GPU or a part of one, in `PARTS`."""

    cores: int
    gpu_parts: int = 0

    @property
    def gpu(self) -> float:
        """The part of a GPU, 0 to 1."""
        return self.gpu_parts / PARTS

    @property
    def options(self) -> dict[str, Any]:
        """What Ray is told of a worker; who died is replaced by us, and what it played given again."""
        return {"num_cpus": self.cores, "num_gpus": self.gpu, "max_restarts": 0, "max_task_retries": 0}

    def room(self, machines: Sequence[Machine]) -> int:
        """Return for how many such workers the machines have room."""
        return sum(self._room(machine) for machine in machines)

    def _room(self, machine: Machine) -> int:
        by_cores = machine.cores // self.cores
        return min(by_cores, machine.gpus * (PARTS // self.gpu_parts)) if self.gpu_parts else by_cores


@dataclass(frozen=True)
class Plan:
    """Workers of a run: `workers` fix who is played together, `started` is how many there are now."""

    workers: int
    started: int
    need: Need


def plan(
    machines: Sequence[Machine], *, threads: int, on_gpu: bool, sites: int, asked: int | None, begun: int | None
) -> Plan:
    """Return the workers of a run; those on GPUs share them evenly.

    asked: how many the user wants; None: one for every `threads` cores or every GPU, no more than sites. begun: how
    many the run began with; where fewer are asked for, or have room, the others' chunks are played by these.

    Raises:
        UserError: there is no room for those that were asked for, or for one.
    """
    gpus = sum(machine.gpus for machine in machines)
    if asked is not None:
        need = Need(threads, _gpu_parts(asked, gpus) if on_gpu else 0)
        if need.room(machines) < asked:
            raise UserError(f"--workers {asked}: there is room for {need.room(machines)}, {_told(need)} each")
        return Plan(begun or asked, asked, need)
    need = Need(threads, PARTS if on_gpu else 0)
    room = min(sites, need.room(machines))
    if not room:
        raise UserError(f"no machine of the Ray cluster has room for a worker, {_told(need)}")
    return Plan(begun or room, min(room, begun or room), need)


def _gpu_parts(workers: int, gpus: int) -> int:
    """Return the part of a GPU that each has.

    >>> _gpu_parts(4, 1), _gpu_parts(3, 2), _gpu_parts(2, 8), _gpu_parts(3, 1)
    (2500, 5000, 10000, 3333)
    """
    return PARTS // ceil(workers / max(gpus, 1))


def _told(need: Need) -> str:
    cores = f"{need.cores} {'core' if need.cores == 1 else 'cores'}"
    return f"{cores} and {need.gpu:g} of a GPU" if need.gpu_parts else cores
