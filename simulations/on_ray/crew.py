"""The workers of a run: who plays which parcel, and who takes the place of one that died."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, Final  # Ray has no types

import ray
from ray import exceptions

from common.errors import ParticipationError, UserError
from simulations.on_ray.player import Player
from simulations.on_ray.room import Need

if TYPE_CHECKING:
    from simulations.on_ray.letters import Answered, Arrays, Parcel

REPLACEMENTS: Final = 3
"""Workers that are replaced in one run; a cause that stays takes each new one as well."""
AHEAD: Final = 2
"""Parcels that a worker has at once: one in play, one so that it need not wait for the server."""
DEATHS: Final = (
    exceptions.RayActorError,
    exceptions.WorkerCrashedError,
    exceptions.OutOfMemoryError,
    exceptions.NodeDiedError,
    exceptions.ObjectLostError,
)
"""What a worker's call raises where its process or its machine is gone, or what it had answered with it."""
HOW_TO_GO_ON: Final = (
    "(is the memory enough for one base model per worker? give fewer --workers). The last complete round is in the "
    "checkpoint; run again with --resume"
)


def worker_of(folder: str, environ: Mapping[str, str], need: Need) -> Callable[[], Any]:
    """Return what starts a worker of the run in `folder`: its actor, which is there before its process is."""
    options = {**need.options, "enable_task_events": False}
    player = ray.remote(**options)(Player)
    return lambda: player.remote(folder, environ, need.gpu)


def _played(actor: Any, parcel: Parcel) -> Any:
    return actor.play.options(num_returns="streaming").remote(parcel.letters, *parcel.beside)


@dataclass
class _Worker:
    actor: Any
    playing: deque[tuple[Parcel, Any]] = field(default_factory=deque)
    """Parcels with the streams of their replies, the first of which is in play."""


class Crew:
    """Workers that play parcels, each of which is played to its end though workers may die.

    A parcel of a worker that died is played again whole: sites that had answered give the stored answer.

    start: starts a worker and returns its actor. size: how many. tell: is told of each that is replaced.
    """

    def __init__(self, start: Callable[[], Any], size: int, tell: Callable[[str], None]) -> None:
        self._start, self._tell = start, tell
        self._workers = [_Worker(start()) for _ in range(size)]
        self._waiting: deque[Parcel] = deque()
        self._replaced = 0

    def share(self, arrays: Arrays) -> object:
        """Put arrays into Ray's object store and return the reference."""
        return ray.put(arrays)

    def give(self, parcels: Iterable[Parcel]) -> None:
        """Have parcels played, in this order, by whoever is free."""
        self._waiting.extend(parcels)
        self._hand_out()

    def _hand_out(self) -> None:
        """Give each worker one parcel before any has two."""
        for ahead in range(1, AHEAD + 1):
            for worker in self._workers:
                if self._waiting and len(worker.playing) < ahead:
                    parcel = self._waiting.popleft()
                    worker.playing.append((parcel, _played(worker.actor, parcel)))

    def take(self, patience_s: float) -> Sequence[Answered]:
        """Return replies that have come, after `patience_s` at the latest.

        Raises:
            UserError: what one was raised with in a worker. ParticipationError: too many workers died, or Ray itself.
        """
        end = monotonic() + patience_s
        try:
            while (left := end - monotonic()) > 0 and (streams := self._streams()):
                ready, _ = ray.wait(list(streams), num_returns=1, timeout=left)
                if ready and (replies := self._next(streams[ready[0]])):
                    return replies
            return []
        except exceptions.RayTaskError as error:
            if isinstance(error.cause, UserError):
                raise type(error.cause)(*error.cause.args) from None
            raise
        except exceptions.RayError as error:
            raise ParticipationError(f"Ray stopped ({type(error).__name__}) {HOW_TO_GO_ON}") from None

    def _streams(self) -> dict[Any, _Worker]:
        """Return what each worker has in play."""
        return {worker.playing[0][1]: worker for worker in self._workers if worker.playing}

    def _next(self, worker: _Worker) -> Sequence[Answered]:
        """Return the next replies of a worker; none where its parcel is done, or its process is dead."""
        try:
            replies: Sequence[Answered] = ray.get(next(worker.playing[0][1]))
            return replies
        except StopIteration:
            worker.playing.popleft()
            self._hand_out()
        except DEATHS as error:
            if getattr(error, "actor_init_failed", False):  # its code is not there: no other would fare better
                *_, said = str(error).strip().splitlines()
                raise UserError(f"a worker of Ray cannot start ({said}); fedpeft must be on every machine") from None
            self._replace(worker, type(error).__name__)
        return []

    def _replace(self, worker: _Worker, reason: str) -> None:
        """Put a new worker in the place of a dead one, whose parcels are played again, first of all."""
        ray.kill(worker.actor)  # its machine may only be out of reach
        if self._replaced == REPLACEMENTS:
            raise ParticipationError(
                f"a worker process of Ray died ({reason}), the {REPLACEMENTS + 1}th {HOW_TO_GO_ON}"
            )
        self._replaced += 1
        self._tell(f"a worker process of Ray died ({reason}) and is replaced, {self._replaced} of {REPLACEMENTS} times")
        self._waiting.extendleft(reversed([parcel for parcel, _ in worker.playing]))
        self._workers[self._workers.index(worker)] = _Worker(self._start())
        self._hand_out()

    def close(self) -> None:
        """End the workers."""
        for worker in self._workers:
            ray.kill(worker.actor)
