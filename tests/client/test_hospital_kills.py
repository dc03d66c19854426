"""A real trainer in a private study, killed wherever a file takes its place on the disk: twenty times, one charge.

The trainer is this very file, run as a process of its own. It answers the frame of one request, and stops just before
the rename that it is told, until it is killed (`kill -9`) and started again with the same question. An answer that got
as far as the file `left` has left the site.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import pytest

from client.hospital import Hospital
from client.ledger import open_ledger
from client.site_folder import SiteFolder
from common import wire
from common.protocol import Reply, Request

ROOT = Path(__file__).resolve().parents[2]
PRIVATE = ("privacy.mechanism=patient-dp", "privacy.epsilon=6.0", "training.batch_size=8", "federation.rounds=2")
_RUN = "import runpy, sys; runpy.run_path(sys.argv.pop(1), run_name='__main__')"


# The site


def main(folder: str, question: str, stop: str) -> None:
    """Answer one question; before rename number `stop` say so, and wait to be killed."""
    hospital, renames = Hospital(SiteFolder(Path(folder))), 0
    hospital.preload()

    def hook(event: str, _: object) -> None:
        nonlocal renames
        if event == "os.rename":
            renames += 1
            if renames == int(stop):
                print("reached", flush=True)
                sys.stdin.read()

    sys.addaudithook(hook)
    answer = hospital.respond("train", wire.from_frame(Path(question).read_bytes()))
    with (Path(folder).parent / "left").open("ab") as left:
        left.write(wire.to_frame(answer) + b"\nEND\n")


# Who kills it


def reaches(site: Any, question: Path, stop: int) -> bool:
    """Whether a new process of the trainer reached the rename, and was killed there; else it has answered."""
    command = [sys.executable, "-c", _RUN, __file__, str(site.folder.path), str(question), str(stop)]
    with Popen(command, cwd=ROOT, stdin=PIPE, stdout=PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline().strip()
        if said:
            process.kill()
    assert said or process.returncode == 0
    return said == "reached"


STOPS = [1, 1, 2, 1, 1, 2, 1, 1, 2, 1, 2, 1, 2, 1, 3, 1, 1, 1, 1, 1]
"""Before the next file that would be on the disk (1), or before one after it, and so a step further."""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_twenty_times_a_round_is_charged_once_and_what_left_is_one_answer(
    make_site: Callable[..., Any], ask: Callable[..., Request], tmp_path: Path
) -> None:
    site = make_site(*PRIVATE)
    site.approve()
    request = ask(site.bundle)
    question, left = tmp_path / "question", tmp_path / "left"
    question.write_bytes(
        wire.to_frame(wire.encode_request(request, wire.pack_adapter(request.shared, site.bundle.schema)))
    )
    for stop in STOPS:
        assert reaches(site, question, stop)
        assert not left.exists()
        assert len(open_ledger(site.folder).read()[0].charges) <= 1
    for _ in range(2):  # what left once leaves again, and costs nothing
        assert not reaches(site, question, 10_000)
        answers = [wire.from_frame(frame) for frame in left.read_bytes().split(b"\nEND\n") if frame]
        assert (
            len({wire.digest_of(answer) for answer in answers}) == 1
        )  # a frame's own bytes vary with its head's order
        assert isinstance(site.read(answers[0], request), Reply)
        book, cohorts = open_ledger(site.folder).read()
        assert [charge.settled for charge in book.charges] == [True]
    (members,) = cohorts.values()
    assert len(members) * book.charges[0].spending.sampling_probability == pytest.approx(8)


if __name__ == "__main__":
    main(*sys.argv[1:])
