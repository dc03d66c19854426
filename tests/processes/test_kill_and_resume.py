"""Real processes killed with SIGKILL and resumed: the adapter's bytes are those of a run that nobody disturbed.

Guaranteed: a round whose checkpoint is written is not trained again; a reply that is on the site's disk is given again,
byte by byte. A process that dies between the journal's line and the site's file has said "released" of a reply that
never left: the site then trains that round once more and writes a second line "released". Its tensors are the same, as
the adapter shows; its digest is another one, since the seconds that it took are in the reply too.
"""

import json
import random
import signal
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

import pytest

pytestmark = pytest.mark.processes

SITES = ("east", "north", "west")
ROUNDS = 5
KILLS = 10
REPEATED = 8
"""Writes of a process before it is where the killed one was: the generated rows again, the first events."""
OPTIONS = (
    "--no-comparison",
    "--threads=1",
    f"--set=federation.rounds={ROUNDS}",
    "--set=training.local_epochs=1",
    "--set=evaluation.resamples=10",
)
PRIVATE_HEAD = '--set=peft.private=["head.*"]'
ONE_BY_ONE = "--group-size=1"
"""Sites answer in the order of their names, and each takes as long as it trains: a kill can fall in between."""


class Lab:
    """Runs of one study: an undisturbed one, and those of the test."""

    def __init__(self, warm: Any, folder: Path, *options: str) -> None:
        self.warm, self.folder = warm, folder
        self.arguments = ("simulate", "quick", *OPTIONS, *options)
        self.whole = folder / "whole"
        done = self(self.whole)
        assert (done.code, done.err) == (0, "")
        self.writes = done.writes

    def __call__(self, out: Path, *more: str, kill_at: int | None = None) -> Any:
        return self.warm(self.folder, *self.arguments, "--out", out, *more, kill_at=kill_at)

    def start(self, out: Path, *more: str) -> Any:
        return self.warm.start(self.folder, *self.arguments, "--out", out, *more)


@pytest.fixture(scope="module")
def labs(warm: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    made: dict[tuple[str, ...], Lab] = {}

    def lab(*options: str) -> Lab:
        if options not in made:
            made[options] = Lab(warm, tmp_path_factory.mktemp("lab"), *options)
        return made[options]

    return lab


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def whole_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def released(out: Path, site: str) -> list[dict[str, Any]]:
    return lines(out / "sites" / site / "journal.jsonl")


def made(out: Path) -> dict[str, Any]:
    """Everything that must not depend on how a run came to its end: the figures, and every file of the adapter."""
    content = json.loads((out / "results.json").read_text())
    files = [*(out / "adapter").iterdir(), *(out / "sites").glob("*/private.safetensors")]
    return {
        **{key: content[key] for key in ("study", "initial", "parameters", "digests", "execution")},
        "rounds": [without_times(record) for record in content["rounds"]],
        "files": {str(file.relative_to(out)): file.read_bytes() for file in files if file.name != "README.md"},
    }


def without_times(record: Mapping[str, Any]) -> Any:
    """Seconds, and bytes too: a reply holds its seconds as text, which may be longer or shorter."""
    train = record["train"]
    sites = {site: timeless(values) for site, values in train["sites"].items()}
    participation = {site: timeless(found, "bytes") for site, found in record["participation"].items()}
    means = {"mean": timeless(train["mean"]), "sites": sites}
    norm = round(record["diagnostics"]["aggregated_norm"], 12)  # numpy's sum depends on where in memory it starts
    diagnostics = {**record["diagnostics"], "aggregated_norm": norm}
    return {**record, "seconds": None, "train": means, "participation": participation, "diagnostics": diagnostics}


def timeless(values: Mapping[str, Any], kind: str = "seconds") -> dict[str, Any]:
    return {name: value for name, value in values.items() if not name.startswith(kind)}


def answers(out: Path) -> Counter[tuple[str, str, int]]:
    """How often the journals say that each answer left anew, not once more: (site, kind, round)."""
    found = [(site, e) for site in SITES for e in released(out, site) if e["decision"] == "released"]
    return Counter((site, e["kind"], e["round"]) for site, e in found)


def safe(out: Path) -> dict[tuple[str, str, int], int]:
    """The answers that are on a site's disk, which no later process may make again."""
    found = [path for path in (out / "sites").glob("*/runs/*/*-??????.safetensors") if not path.name.startswith(".")]
    keys = [(path.parents[2].name, *path.stem.rsplit("-", 1)) for path in found]
    count = answers(out)
    return {(site, kind, int(number)): count[site, kind, int(number)] for site, kind, number in keys}


def check_journals(out: Path, whole: Path, *, kept: Mapping[tuple[str, str, int], int], kills: int) -> None:
    """What left once more is what had left, and only what a kill hindered from being kept was made again."""
    for site in SITES:
        entries, left = released(out, site), {}
        for e in entries:
            assert e["decision"] in ("released", "repeated")
            if e["decision"] == "released":
                left[e["kind"], e["round"]] = e["digest"]
            assert e["digest"] == left[e["kind"], e["round"]]
        assert [e["round"] for e in entries] == sorted(e["round"] for e in entries)
    found, expected = answers(out), answers(whole)
    assert set(found) == set(expected)
    assert {key: found[key] for key in kept} == kept
    assert found.total() - expected.total() <= kills


def check_events(out: Path) -> None:
    """No process went back behind a round that had been finished."""
    finished = 0
    for event in lines(out / "events.jsonl"):
        if event["event"] == "run_started":
            assert event["round"] >= finished
        if event["event"] == "round_started":
            assert event["round"] > finished
        if event["event"] == "round_finished":
            finished = event["round"]
    assert finished == ROUNDS


@pytest.mark.slow
def test_ten_kills_at_any_write_leave_the_same_adapter(labs: Any) -> None:
    """Each process is killed just before it writes, renames or removes a file, at moments drawn over the whole run."""
    lab = labs()
    out, rng = lab.folder / "written", random.Random(5)
    kept: dict[tuple[str, str, int], int] = {}
    moments = [0, *sorted(rng.sample(range(1, lab.writes), KILLS))]
    for before, moment in pairwise(moments):
        done = lab(out, "--resume", kill_at=moment - before + REPEATED)
        assert (done.code, done.out, done.err) == (-signal.SIGKILL, "", "")
        kept = safe(out) | kept
    done = lab(out, "--resume")
    assert (done.code, done.err) == (0, "")
    assert made(out) == made(lab.whole)
    check_journals(out, lab.whole, kept=kept, kills=KILLS)
    check_events(out)


def test_results_are_the_last_thing_written(labs: Any) -> None:
    """Where they are, a resumption only reports: a kill just before must not have left a run without its report."""
    lab = labs()
    out = lab.folder / "almost"
    assert lab(out, kill_at=lab.writes - 1).code == -signal.SIGKILL
    assert not (out / "results.json").exists()
    assert lab(out, "--resume").code == 0
    assert (out / "report.html").exists()
    assert made(out) == made(lab.whole)


def test_ten_kills_at_any_event_leave_the_same_adapter_and_private_heads(labs: Any) -> None:
    """Killed from outside, when so many lines more are in events.jsonl: mostly while a site trains."""
    lab = labs(PRIVATE_HEAD)
    out = lab.folder / "watched"
    rng, record = random.Random(6), out / "events.jsonl"
    kept: dict[tuple[str, str, int], int] = {}
    for _ in range(KILLS):
        goal = len(lines(record)) + rng.randint(1, 9)
        done = lab.start(out, "--resume").signal_when(lambda goal=goal: whole_lines(record) >= goal, signal.SIGKILL)
        assert (done.code, done.out, done.err) == (-signal.SIGKILL, "", "")
        kept = safe(out) | kept
    done = lab(out, "--resume")
    assert (done.code, done.err) == (0, "")
    assert made(out) == made(lab.whole)
    check_journals(out, lab.whole, kept=kept, kills=KILLS)
    check_events(out)


@pytest.fixture(scope="module")
def stopped(labs: Any) -> Path:
    """A run that was killed in round 3, when the first site's answer was in."""
    lab = labs(ONE_BY_ONE)
    out = lab.folder / "stopped"
    reached = lambda: answered(out, 3) == {"east"}  # noqa: E731
    assert lab.start(out).signal_when(reached, signal.SIGKILL).code == -signal.SIGKILL
    return Path(out)


def answered(out: Path, number: int) -> set[str]:
    text = (out / "events.jsonl").read_text() if (out / "events.jsonl").exists() else ""
    found = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return {e["site"] for e in found if e["event"] == "reply" and e["round"] == number}


@pytest.fixture
def resumed(labs: Any, stopped: Path) -> Iterator[Any]:
    """Resume a copy of the stopped run after `change` was done to it."""
    lab = labs(ONE_BY_ONE)
    out = lab.folder / "copy"

    def resume(change: Any) -> Any:
        copytree(stopped, out)
        change(out)
        return out, lab(out, "--resume")

    yield resume
    rmtree(out)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def stored(out: Path, site: str, number: int) -> Path:
    (path,) = (out / "sites" / site).glob(f"runs/*/train-{number:06d}.safetensors")
    return path


def test_a_file_half_written_beside_is_passed_over(labs: Any, resumed: Any) -> None:
    def leave_halves(out: Path) -> None:
        whole = stored(out, "east", 3)
        whole.with_name(f".{whole.name}.0a1b2c").write_bytes(whole.read_bytes()[:99])
        (out / "checkpoint" / "round-000003-half").mkdir()
        (out / "checkpoint" / "round-000003-half" / "state.json").write_text('{"round": 3')
        with (out / "events.jsonl").open("a") as record:
            record.write('{"event": "rou')

    out, done = resumed(leave_halves)
    assert (done.code, done.err) == (0, "")
    assert made(out) == made(labs(ONE_BY_ONE).whole)
    assert not list((out / "checkpoint").glob("*half"))
    unread = [line for line in (out / "events.jsonl").read_text().splitlines() if not line.endswith("}")]
    assert unread == ['{"event": "rou']


def test_a_site_whose_answer_is_damaged_fails_in_that_round_and_the_others_go_on(resumed: Any) -> None:
    """It neither sends what it cannot read, nor trains and sends a second time; its own log says why."""
    out, done = resumed(lambda out: cut(stored(out, "east", 3)))
    assert done.code == 0
    assert "the site's file train-000003.safetensors cannot be read" in done.err
    rounds = json.loads((out / "results.json").read_text())["rounds"]
    statuses = {r["round"]: {s: (p["status"], p.get("reason")) for s, p in r["participation"].items()} for r in rounds}
    assert statuses[3].pop("east") == ("failed", "TRAINING_FAILED")
    assert {found for by_site in statuses.values() for found in by_site.values()} == {("accepted", None)}
    assert [e["round"] for e in released(out, "east")].count(3) == 1


@pytest.mark.parametrize("name", ["current.json", "state.json", "tensors.safetensors"])
def test_a_truncated_checkpoint_is_one_line_and_exit_2(resumed: Any, name: str) -> None:
    out, done = resumed(lambda out: cut(next((out / "checkpoint").rglob(name))))
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "checkpoint" in done.err
    assert "restore it from a copy, or start again in another folder" in done.err
    assert not (out / "results.json").exists()


def test_a_finished_run_is_only_reported(labs: Any) -> None:
    """Also where neither rows nor base model are there any more."""
    lab = labs()
    before = {path: path.stat().st_mtime_ns for path in lab.whole.rglob("*")}
    done = lab(lab.whole, "--resume")
    assert (done.code, done.err, done.writes) == (0, "", 0)
    assert "validation AUROC" in done.out
    assert {path: path.stat().st_mtime_ns for path in lab.whole.rglob("*")} == before
