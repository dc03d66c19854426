"""A site's own disk: what it answered and what it remembers, per run and round. The last two rounds are kept.

One file holds the gated answer of a round, and the private tensors and what compression has left out after it, written
before the answer leaves: after a crash on either side the site gives the same bytes again and trains nothing twice.
With a seal each file is encrypted, under its own name.
"""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from client.sealing import Seal
from common import answers
from common.errors import CheckpointError, RefusedError, SchemaError
from common.files import write_bytes
from common.metrics.measure import Measure
from common.protocol import Answer, Reply, Request
from common.state import AdapterState, Array
from common.tensor_files import group_of, joined, metadata_of, to_safetensors

KEPT_ROUNDS = 2
_ANSWER = re.compile(r"(train|evaluate)-(\d{6,})\.safetensors")
TEST_SCORES = "test-scores.safetensors"
NOTHING: AdapterState = MappingProxyType({})


@dataclass(frozen=True)
class Kept:
    """What a site remembers after a round: its private tensors, and what compression has left out of its updates."""

    private: AdapterState
    left_out: AdapterState


@dataclass(frozen=True)
class Stored:
    """An answer as it left, the request that it answered, and what was remembered after it."""

    request: str
    answer: Answer
    kept: Kept


class Store(Protocol):
    """Where a trainer keeps its answers: `SiteStore`, or, in a simulation of thousands, a place that sites share."""

    def check_run(self, run: str, *, limit: int) -> None:
        """Refuse a run beyond the first `limit` runs."""
        ...

    def find(self, request: Request) -> Answer | None:
        """Return the stored answer to this very request, or None if the round is new. Raises RefusedError."""
        ...

    def private(self, request: Request, initial: AdapterState) -> AdapterState:
        """Return the private tensors that the last trained round before this one left, else `initial`."""
        ...

    def left_out(self, request: Request) -> AdapterState:
        """Return what compression had left out after the last trained round before this one."""
        ...

    def save(self, request: Request, answer: Answer, private: AdapterState, left_out: AdapterState) -> None:
        """Write the answer and what is remembered."""
        ...

    def trained(self, run: str) -> dict[int, Reply]:
        """Return the kept replies of trained rounds as they left, by round."""
        ...

    def save_test_scores(self, run: str, scores: NDArray[np.float64]) -> None:
        """Keep the scores (n, width) of the site's test rows."""
        ...

    def test_scores(self, run: str) -> NDArray[np.float64]:
        """Return what `save_test_scores` kept."""
        ...


@dataclass(frozen=True)
class SiteStore:
    """Files under `folder`, which belongs to one site. `durable` waits for the disk; a simulation need not.

    seal: encrypts every file. The name of the folder itself counts too, so that no file of one study can stand in for
        another study's: a folder may move, and may not be renamed.
    """

    folder: Path
    measure: Measure
    durable: bool = True
    seal: Seal | None = None

    def check_run(self, run: str, *, limit: int) -> None:
        """Refuse a run beyond the first `limit` runs: under a new name everything could be asked again."""
        known = set(_names_in(self._runs))
        if safe_name(run) not in known and len(known) >= limit:
            raise RefusedError("TOO_MANY_RUNS")

    @property
    def _runs(self) -> Path:
        """Beside the journal, never among its files: the server chooses the name of a run."""
        return self.folder / "runs"

    def find(self, request: Request) -> Answer | None:
        """Return the stored answer to this very request, or None if the round is new.

        Raises RefusedError for another question about a round that was answered, about an earlier round, or to train
        in a run that was closed.
        """
        rounds = self._rounds(request.run, request.kind)
        if request.round in rounds:
            stored = self._read(self._path(request.run, request.kind, request.round))
            if stored.request != request.digest:
                raise RefusedError("ROUND_ALREADY_ANSWERED")
            return stored.answer
        if request.round < max(rounds, default=0):
            raise RefusedError("ROUND_IN_THE_PAST")
        if request.kind == "train" and self._rounds(request.run, "evaluate"):
            raise RefusedError("ROUND_IN_THE_PAST")  # the run was closed: test rows have been scored
        return None

    def private(self, request: Request, initial: AdapterState) -> AdapterState:
        """Return the private tensors that the last trained round before this one left, else `initial`."""
        return self.private_after(request.run, request.round - 1, initial)

    def private_after(self, run: str, round_number: int, initial: AdapterState) -> AdapterState:
        """Return the private tensors after the last trained round up to `round_number`, else `initial`."""
        done = [r for r in self._rounds(run, "train") if r <= round_number]
        return self._read(self._path(run, "train", max(done))).kept.private if done else initial

    def trained_runs(self) -> list[str]:
        """Return the runs of which a trained round is kept, the one that was answered last at the end."""
        files = sorted(self._runs.glob("*/train-??????.safetensors"), key=lambda path: path.stat().st_mtime_ns)
        return list(dict.fromkeys(path.parent.name for path in reversed(files)))[::-1]

    def last_private(self, run: str) -> AdapterState:
        """Return the private tensors that the last trained round of a run left; it must have one."""
        return self._read(self._path(run, "train", self._rounds(run, "train")[-1])).kept.private

    def trained(self, run: str) -> dict[int, Reply]:
        """Return the kept replies of trained rounds as they left, by round; only the last rounds are kept."""
        found = {number: self._read(self._path(run, "train", number)).answer for number in self._rounds(run, "train")}
        return {number: answer for number, answer in found.items() if isinstance(answer, Reply)}

    def left_out(self, request: Request) -> AdapterState:
        """Return what compression had left out after the last trained round before this one; nothing before round 1."""
        done = [r for r in self._rounds(request.run, "train") if r < request.round]
        return self._read(self._path(request.run, "train", max(done))).kept.left_out if done else NOTHING

    def save(self, request: Request, answer: Answer, private: AdapterState, left_out: AdapterState = NOTHING) -> None:
        """Write the answer and what is remembered, then drop what is older than the last two rounds."""
        sent = {"update": answer.update, "extra": answer.extra} if isinstance(answer, Reply) else {}
        tensors = joined({**sent, "private": private, "left_out": left_out})
        head = {"request": request.digest, "answer": json.dumps(answers.to_json(answer))}
        path = self._path(request.run, request.kind, request.round)
        self._write(path, to_safetensors(tensors, metadata=head))
        for old in self._rounds(request.run, request.kind)[:-KEPT_ROUNDS]:
            self._path(request.run, request.kind, old).unlink(missing_ok=True)

    def save_test_scores(self, run: str, scores: NDArray[np.float64]) -> None:
        """Keep the scores (n, width) of the site's test rows, in their order; they never leave."""
        self._write(self._runs / safe_name(run) / TEST_SCORES, to_safetensors({"scores": scores}))

    def test_scores(self, run: str) -> NDArray[np.float64]:
        """Return what `save_test_scores` kept."""
        tensors, _ = self._load(self._runs / safe_name(run) / TEST_SCORES)
        return tensors["scores"].astype(np.float64, copy=False)

    def _path(self, run: str, kind: str, round_number: int) -> Path:
        return self._runs / safe_name(run) / f"{kind}-{round_number:06d}.safetensors"

    def _rounds(self, run: str, kind: str) -> list[int]:
        found = (_ANSWER.fullmatch(name) for name in _names_in(self._runs / safe_name(run)))
        return sorted(int(each[2]) for each in found if each is not None and each[1] == kind)

    def _read(self, path: Path) -> Stored:
        tensors, head = self._load(path)
        try:
            answer = answers.from_json(
                json.loads(head["answer"]),
                update=group_of(tensors, "update"),
                extra=group_of(tensors, "extra"),
                measure=self.measure,
            )
            kept = Kept(group_of(tensors, "private"), group_of(tensors, "left_out"))
            return Stored(request=head["request"], answer=answer, kept=kept)
        except (KeyError, ValueError, SchemaError) as error:
            raise _unreadable(path, error) from None

    def _write(self, path: Path, content: bytes) -> None:
        sealed = content if self.seal is None else self.seal.close(content, name=self._sealed_name(path))
        write_bytes(path, sealed, durable=self.durable, mode=0o600)

    def _load(self, path: Path) -> tuple[dict[str, Array], dict[str, str]]:
        """Return the tensors and the head of a file."""
        try:
            content = path.read_bytes()
            if self.seal is not None:
                content = self.seal.open(content, name=self._sealed_name(path))
            return dict(safetensors.numpy.load(content)), metadata_of(content)
        except (OSError, safetensors.SafetensorError) as error:
            raise _unreadable(path, error) from None

    def _sealed_name(self, path: Path) -> str:
        return f"{self.folder.absolute().name}/{path.relative_to(self.folder).as_posix()}"


def _names_in(folder: Path) -> list[str]:
    """Return the names in a folder, none where it is not there: faster by far than a glob, several times a message."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"the site's file {path.name} cannot be read ({type(error).__name__})")


def safe_name(name: str) -> str:
    """Return `name` if it can be a file name, else refuse: names come from another machine.

    >>> safe_name("run-1f3a")
    'run-1f3a'
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", name):
        raise RefusedError("MALFORMED_REQUEST")
    return name
