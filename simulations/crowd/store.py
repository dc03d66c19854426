"""One site's part of a crowd's records, as its trainer wants a disk: answers, and scores of test rows.

Between rounds a site of a crowd remembers nothing but its answers: where it would, it has a folder of its own
(`simulations.crowd.disks`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from client.store import KEPT_ROUNDS, NOTHING
from common import answers
from common.errors import CheckpointError, RefusedError, SchemaError
from common.metrics.measure import Measure
from common.protocol import Answer, Reply, Request
from common.state import AdapterState
from common.tensor_files import group_of, joined
from simulations.crowd.records import Record
from simulations.crowd.shelf import SCORES, TRAIN, Chapter, Shelf


@dataclass(frozen=True)
class CrowdStore:
    """What `client.store.SiteStore` is to a site that has a folder, on a shelf that all sites share."""

    shelf: Shelf
    site: str
    measure: Measure

    def check_run(self, run: str, *, limit: int) -> None:
        """Refuse a run beyond the first `limit` runs."""
        known = {chapter.run for chapter in self.shelf.chapters()}
        if run not in known and len(known) >= limit:
            raise RefusedError("TOO_MANY_RUNS")

    def find(self, request: Request) -> Answer | None:
        """Return the stored answer to this very request; None, or RefusedError, as `SiteStore.find`.

        A round of which records are no longer kept is in the past for every site.
        """
        run, kind = request.run, request.kind
        rounds = self.shelf.rounds(run, kind, self.site)
        if request.round in rounds:
            record = self._record(run, kind, request.round)
            if record.about["request"] != request.digest:
                raise RefusedError("ROUND_ALREADY_ANSWERED")
            return self._answer(record)
        gone = self.shelf.newest(run, kind) - KEPT_ROUNDS if kind == TRAIN else 0
        if request.round < max(rounds, default=0) or request.round <= gone:
            raise RefusedError("ROUND_IN_THE_PAST")
        if kind == TRAIN and self.shelf.rounds(run, "evaluate", self.site):
            raise RefusedError("ROUND_IN_THE_PAST")
        return None

    def private(self, request: Request, initial: AdapterState) -> AdapterState:  # noqa: ARG002 # the seam's
        """Return `initial`: no round leaves anything else."""
        return initial

    def left_out(self, request: Request) -> AdapterState:  # noqa: ARG002 # the seam's
        """Return nothing: no round leaves anything."""
        return NOTHING

    def save(self, request: Request, answer: Answer, private: AdapterState, left_out: AdapterState = NOTHING) -> None:
        """Write an answer. Raises ValueError where there is more to remember than it."""
        if private or left_out:
            raise ValueError("a site of a crowd remembers nothing but its answers; it needs a folder of its own")
        sent = joined({"update": answer.update, "extra": answer.extra}) if isinstance(answer, Reply) else {}
        about = {"request": request.digest, "answer": answers.to_json(answer)}
        self.shelf.write(Chapter(request.run, request.kind, request.round), self.site, about, sent)

    def trained(self, run: str) -> dict[int, Reply]:
        """Return the kept replies of trained rounds as they left, by round; only the last rounds are kept."""
        rounds = self.shelf.rounds(run, TRAIN, self.site)
        found = {number: self._answer(self._record(run, TRAIN, number)) for number in rounds}
        return {number: answer for number, answer in found.items() if isinstance(answer, Reply)}

    def save_test_scores(self, run: str, scores: NDArray[np.float64]) -> None:
        """Keep the scores (n, width) of the site's test rows, in their order; they never leave."""
        self.shelf.write(Chapter(run, SCORES, 0), self.site, {}, {"scores": scores})

    def test_scores(self, run: str) -> NDArray[np.float64]:
        """Return what `save_test_scores` kept."""
        return self._record(run, SCORES, 0).tensors["scores"].astype(np.float64, copy=False)

    def _record(self, run: str, kind: str, round_number: int) -> Record:
        found = self.shelf.read(Chapter(run, kind, round_number), self.site)
        if found is None:
            raise CheckpointError(f"site {self.site} of run {run} has no {kind} of round {round_number}")
        return found

    def _answer(self, record: Record) -> Answer:
        tensors = record.tensors
        try:
            return answers.from_json(
                record.about["answer"],
                update=group_of(tensors, "update"),
                extra=group_of(tensors, "extra"),
                measure=self.measure,
            )
        except (KeyError, SchemaError) as error:
            raise CheckpointError(f"an answer of site {self.site} cannot be read ({type(error).__name__})") from None
