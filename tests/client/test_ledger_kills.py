"""Killed between ledger, store and send, a site never counts too little, and never twice for the same round.

The site is this very file, run as a process of its own: it answers rounds with noise, another at each training, and
stops where it is told, until it is killed (`kill -9`) and started again with the same question. Twenty times, and twice
more where the store is lost too.
"""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from client.ledger import Ledger
from client.ledger_files import ChargeKey, pseudonym_key
from client.sealing import KEY_BYTES, Seal
from client.store import SiteStore
from common.answers import payload_digest
from common.files import append_json_line
from common.metrics.classes import ClassMeasure
from common.privacy._accounting import Spending, epsilon_of
from common.protocol import Reply, Request, RoundPlan

ROOT = Path(__file__).resolve().parents[2]
STORAGE_KEY = bytes(range(KEY_BYTES))
PATIENTS = [f"patient-{number}" for number in range(30)]
SPENDING = Spending(noise_multiplier=4.0, sampling_probability=0.25, steps=4)
DELTA = 1e-5
LEFT = "left.jsonl"

NAMED = ["trained", "charged", "stored", "settled", "sent"]
"""Points after which the site stops; between `charged` and `sent` the answer is on its way, after it the reply is."""
FIRST_RENAMES = ["rename 1", "rename 2", "rename 3"]
"""In round 1: just before the empty book, the cohort, and the book with the charge take their place on the disk."""
LATER_RENAMES = ["rename 1", "rename 2", "rename 3"]
"""In later rounds: the book with the charge, the answer, and the book with the charge settled."""


def ledger_of(folder: Path) -> Ledger:
    return Ledger(folder / "privacy", Seal(STORAGE_KEY), pseudonym_key(STORAGE_KEY))


def store_of(folder: Path) -> SiteStore:
    return SiteStore(folder / "study", measure=ClassMeasure(2), seal=Seal(STORAGE_KEY))


def asked(number: int) -> Request:
    return Request("train", "run-1", number, 0, "study", "schema", RoundPlan(), (), {"a": np.ones(3, np.float32)})


# The site


def answer(folder: Path, request: Request, at: Callable[[str], None]) -> None:
    """Answer as a trainer does: charged, stored, settled, sent."""
    store, ledger = store_of(folder), ledger_of(folder)
    key = ChargeKey(request.study, request.run, request.round, request.kind, request.digest)
    found = store.find(request)
    if found is None:
        found = Reply({"a": np.frombuffer(os.urandom(12), np.uint8).astype(np.float32)}, 30, {}, {})
        at("trained")
        ledger.charge(key, PATIENTS, SPENDING)
        at("charged")
        store.save(request, found, {})
        at("stored")
    ledger.settle(key)
    at("settled")
    assert isinstance(found, Reply)
    append_json_line(folder / LEFT, {"round": request.round, "payload": payload_digest(found)}, durable=True)
    at("sent")


def stop_at(wanted: str, reached: str) -> None:
    """Where the wanted point is reached, say so and wait to be killed."""
    if reached == wanted:
        print("reached", flush=True)
        sys.stdin.read()


def watch_renames(at: Callable[[str], None]) -> None:
    """Make each rename a point just before it is done: a file takes its place on the disk by one."""
    seen = Counter[str]()

    def hook(event: str, arguments: object) -> None:
        seen[event] += 1
        if event == "os.rename":
            at(f"rename {seen[event]}")

    sys.addaudithook(hook)


def main(folder: str, first: str, last: str, point: str) -> None:
    """Answer these rounds; the point is one of the last."""
    for number in range(int(first), int(last)):
        answer(Path(folder), asked(number), lambda reached: None)
    at = partial(stop_at, point)
    watch_renames(at)
    answer(Path(folder), asked(int(last)), at)


# Who kills it

_RUN = "import runpy, sys; runpy.run_path(sys.argv.pop(1), run_name='__main__')"


def ask(folder: Path, number: int, point: str = "nowhere", *, since: int | None = None) -> str:
    """Ask a site in a new process about the rounds from `since` to `number`; at the point it is killed.

    Return what it said: "reached", or nothing where it came to its end.
    """
    command = [sys.executable, "-c", _RUN, __file__, str(folder), str(since or number), str(number), point]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as site:
        assert site.stdout is not None
        said = site.stdout.readline().strip()
        if said:
            site.kill()
    assert (site.returncode == 0) is (said == "")
    return said


def left(folder: Path) -> set[tuple[int, str]]:
    """Return round and digest of all that ever left."""
    lines = (folder / LEFT).read_text().splitlines() if (folder / LEFT).exists() else []
    return {(entry["round"], entry["payload"]) for entry in map(json.loads, lines)}


def charges(folder: Path) -> Counter[int]:
    return Counter(each.key.round for each in ledger_of(folder).read()[0].charges)


def check_covered(folder: Path) -> None:
    """Each payload that left, in whatever round, has a charge of its own."""
    assert Counter(number for number, _ in left(folder)) <= charges(folder)


def check_once(folder: Path, rounds: int) -> None:
    """One payload left and one charge was made in each round, and epsilon is that of as many rounds."""
    assert charges(folder) == Counter(number for number, _ in left(folder)) == Counter(range(1, rounds + 1))
    expected = epsilon_of([SPENDING] * rounds, delta=DELTA)
    assert ledger_of(folder).spent(PATIENTS, delta=DELTA) == pytest.approx(expected, abs=1e-3)


@pytest.mark.processes
def test_killed_in_every_place_of_its_first_round(tmp_path: Path) -> None:
    for number, point in enumerate(FIRST_RENAMES):
        folder = tmp_path / f"site-{number}"
        assert ask(folder, 1, point) == "reached"
        check_covered(folder)
        assert ask(folder, 1) == ""
        check_once(folder, 1)


@pytest.mark.processes
@pytest.mark.slow
def test_killed_in_every_place_of_later_rounds(tmp_path: Path) -> None:
    points = [*NAMED, *LATER_RENAMES]
    for number, point in enumerate(points, start=2):
        assert ask(tmp_path, number, point, since=number - 1) == "reached"
        check_covered(tmp_path)
    assert ask(tmp_path, 1 + len(points)) == ""
    check_once(tmp_path, 1 + len(points))


@pytest.mark.processes
@pytest.mark.slow
def test_killed_again_and_again_in_one_round(tmp_path: Path) -> None:
    """`rename 1` is that of the settled book: when the round is asked again, the answer is stored already."""
    for point in ["trained", "rename 3", "charged", "charged", "stored", "rename 1", "settled", "sent", "sent"]:
        assert ask(tmp_path, 1, point) == "reached"
        check_covered(tmp_path)
    assert ask(tmp_path, 1) == ""
    check_once(tmp_path, 1)


@pytest.mark.processes
def test_where_the_store_is_lost_the_second_answer_is_charged_too(tmp_path: Path) -> None:
    assert ask(tmp_path, 1, "sent") == "reached"
    shutil.rmtree(store_of(tmp_path).folder)
    assert ask(tmp_path, 1, "settled") == "reached"
    shutil.rmtree(store_of(tmp_path).folder)
    assert ask(tmp_path, 1) == ""
    assert len(left(tmp_path)) == 2
    assert charges(tmp_path) == {1: 3}, "one more than left: nobody can know that the second did not"


if __name__ == "__main__":
    main(*sys.argv[1:])
