"""What vouches for a run: a coordinator's signed receipts, or the journals of a simulation's sites."""

from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common import receipts
from common.registry import run_folder

MakeRun = Callable[..., Path]


def test_receipts_are_counted_and_the_last_one_stands_for_all(make_run: MakeRun, tmp_path: Path) -> None:
    run, key = make_run(tmp_path / "run"), Ed25519PrivateKey.generate()
    for number in range(3):
        receipts.append(run / "receipts.jsonl", {"round": number}, key, durable=False)
    last = receipts.read_line((run / "receipts.jsonl").read_bytes().splitlines()[-1])
    found = run_folder.read(run_folder.find(run)).receipts
    assert found is not None
    assert last is not None
    assert (found.log, found.count, found.head) == ("receipts", 3, last.digest)


def test_any_line_of_a_journal_changes_the_head(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    assert run_folder.read(run_folder.find(run)).receipts is None
    heads = set()
    for site, lines in (("east", "{}\n"), ("west", "{}\n{}\n"), ("west", "{}\n[]\n")):
        (run / "sites" / site).mkdir(parents=True, exist_ok=True)
        (run / "sites" / site / "journal.jsonl").write_text(lines)
        found = run_folder.read(run_folder.find(run)).receipts
        assert found is not None
        assert found.log == "journals"
        heads.add(found.head)
    assert (found.count, len(heads)) == (3, 3)


def test_a_coordinator_s_run_is_called_as_its_folder(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs" / "heart-2")
    (run / "run.json").unlink()
    assert run_folder.read(run_folder.find(run)).run == "heart-2"
