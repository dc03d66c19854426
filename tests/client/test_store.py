"""A site's disk: the same answer to the same question, the last two rounds, and nothing outside its folder."""

import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.store import KEPT_ROUNDS, SiteStore, safe_name
from common.answers import to_json
from common.errors import CheckpointError, RefusedError
from common.files import write_bytes
from common.metrics.classes import ClassMeasure
from common.protocol import Answer, Refusal, Reply, Request, RoundPlan
from common.state import Array, digest_state

SHARED = {"a": np.zeros(3, np.float32)}
PRIVATE = {"own": np.zeros(2, np.float32)}


@pytest.fixture
def store(tmp_path: Path) -> SiteStore:
    return SiteStore(tmp_path / "site", measure=ClassMeasure(2), durable=False)


def request(number: int, **changes: object) -> Request:
    first = Request("train", "run-1", number, 0, "s", "t", RoundPlan(), ("validation",), SHARED)
    return replace(first, **changes)  # type: ignore[arg-type] # any field


def reply(number: int) -> Reply:
    update = {"a": np.full(3, number, np.float32), "h/b": np.array(number, np.float32)}
    return Reply(update, 5, {"loss": float(number)}, {}, {"x": np.full((1, 2), number, np.float32)})


def private(number: int) -> dict[str, Array]:
    return {"own": np.full(2, number, np.float32)}


def same(left: Answer | None, right: Answer) -> bool:
    if not isinstance(left, Reply) or not isinstance(right, Reply):
        return left == right
    tensors = (
        (digest_state(left.update), digest_state(left.extra)),
        (digest_state(right.update), digest_state(right.extra)),
    )
    return to_json(left) == to_json(right) and tensors[0] == tensors[1]


@pytest.mark.parametrize("answer", [reply(1), Refusal("REFUSED_BY_POLICY")])
def test_the_same_question_finds_the_same_answer_after_a_restart(answer: Answer, store: SiteStore) -> None:
    assert store.find(request(1)) is None
    store.save(request(1), answer, private(1))
    again = SiteStore(store.folder, measure=ClassMeasure(2))
    assert same(again.find(request(1)), answer)


@pytest.mark.parametrize("change", [{"seed": 1}, {"shared": {"a": np.ones(3, np.float32)}}, {"splits": ()}])
def test_another_question_in_an_answered_round_is_refused(change: dict[str, object], store: SiteStore) -> None:
    store.save(request(1), reply(1), PRIVATE)
    with pytest.raises(RefusedError, match="ROUND_ALREADY_ANSWERED"):
        store.find(request(1, **change))


def test_a_round_before_the_last_answered_one_is_refused(store: SiteStore) -> None:
    store.save(request(3), reply(3), PRIVATE)
    with pytest.raises(RefusedError, match="ROUND_IN_THE_PAST"):
        store.find(request(2))
    assert store.find(request(4)) is None
    assert store.find(request(2, run="run-2")) is None
    assert store.find(request(2, kind="evaluate")) is None


def test_two_rounds_are_kept(store: SiteStore) -> None:
    for number in range(1, 6):
        store.save(request(number), reply(number), private(number))
    assert KEPT_ROUNDS == 2
    assert sorted(p.name for p in (store.folder / "runs" / "run-1").iterdir()) == [
        "train-000004.safetensors",
        "train-000005.safetensors",
    ]
    assert same(store.find(request(4)), reply(4))
    with pytest.raises(RefusedError, match="ROUND_IN_THE_PAST"):
        store.find(request(3))


def test_evaluations_do_not_push_out_training_rounds(store: SiteStore) -> None:
    for number in (1, 2):
        store.save(request(number), reply(number), private(number))
    for number in (3, 4, 5):
        store.save(request(number, kind="evaluate"), replace(reply(number), update={}, extra={}), private(9))
    assert same(store.find(request(2)), reply(2))
    assert digest_state(store.private(request(9), PRIVATE)) == digest_state(private(2))


@given(st.sets(st.integers(1, 12)), st.integers(1, 13))
def test_private_tensors_are_those_of_the_last_trained_round_before(
    tmp_path_factory: pytest.TempPathFactory, trained: set[int], asked: int
) -> None:
    """As long as that round is one of the two kept."""
    store = SiteStore(tmp_path_factory.mktemp("site"), measure=ClassMeasure(2), durable=False)
    for number in sorted(trained):
        store.save(request(number), reply(number), private(number))
    kept = [number for number in sorted(trained)[-KEPT_ROUNDS:] if number < asked]
    expected = private(max(kept)) if kept else PRIVATE
    assert digest_state(store.private(request(asked), PRIVATE)) == digest_state(expected)


def test_asking_a_round_again_starts_from_what_was_before_it(store: SiteStore) -> None:
    store.save(request(1), reply(1), private(1))
    store.save(request(2), reply(2), private(2))
    assert digest_state(store.private(request(2), PRIVATE)) == digest_state(private(1))
    assert digest_state(store.private_after("run-1", 2, PRIVATE)) == digest_state(private(2))
    assert store.private_after("run-2", 2, PRIVATE) is PRIVATE


def test_test_scores_are_kept_by_run(store: SiteStore) -> None:
    scores = np.random.default_rng(0).uniform(size=(7, 2))
    store.save_test_scores("run-1", scores)
    store.save_test_scores("run-2", scores[:3])
    found = store.test_scores("run-1")
    assert found.dtype == np.float64
    assert (found == scores).all()


def test_so_many_runs_are_known_and_no_more_also_after_a_restart(store: SiteStore) -> None:
    """A run counts once something of it is on the disk, be it an answer, a refusal or test scores."""
    store.check_run("run-1", limit=2)
    store.check_run("run-9", limit=1)
    store.save(request(1), Refusal("REFUSED_BY_POLICY"), {})
    store.save_test_scores("run-2", np.zeros((1, 2)))
    for known in (store, SiteStore(store.folder, measure=ClassMeasure(2))):
        for run in ("run-1", "run-2"):
            known.check_run(run, limit=2)
            known.check_run(run, limit=1)
        known.check_run("run-3", limit=3)
        with pytest.raises(RefusedError, match="TOO_MANY_RUNS"):
            known.check_run("run-3", limit=2)


OWN_FILES = ["journal.jsonl", "runs", "private.safetensors", "test-scores.safetensors", "a.b-c_d"]


@pytest.mark.parametrize("name", OWN_FILES)
def test_a_run_named_like_a_file_of_the_site_s_touches_none(name: str, store: SiteStore) -> None:
    for file in ("journal.jsonl", "private.safetensors"):
        write_bytes(store.folder / file, b"before")
    store.save(request(1, run=name), reply(1), private(1))
    store.save_test_scores(name, np.zeros((1, 2)))
    assert same(store.find(request(1, run=name)), reply(1))
    assert store.test_scores(name).shape == (1, 2)
    files = {str(path.relative_to(store.folder)) for path in store.folder.rglob("*") if path.is_file()}
    own = {f"runs/{name}/{file}" for file in ("train-000001.safetensors", "test-scores.safetensors")}
    assert files == {"journal.jsonl", "private.safetensors", *own}
    assert (store.folder / "journal.jsonl").read_bytes() == b"before"


def test_a_site_s_files_are_for_its_user_only(store: SiteStore) -> None:
    store.save(request(1), reply(1), private(1))
    store.save_test_scores("run-1", np.zeros((1, 2)))
    files = [path for path in store.folder.rglob("*") if path.is_file()]
    assert len(files) == 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


NAMES = ["../x", "..", ".", "a/b", "/etc/x", "", "a\0b", "a\nb", "-rf", ".hidden", "a" * 64, "~", "ä", "a b", "run\n"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_no_file_name_is_refused_before_the_disk_is_touched(name: str, store: SiteStore) -> None:
    with pytest.raises(RefusedError, match="MALFORMED_REQUEST"):
        safe_name(name)
    for call in (
        lambda: store.check_run(name, limit=9),
        lambda: store.find(request(1, run=name)),
        lambda: store.private(request(1, run=name), PRIVATE),
        lambda: store.save(request(1, run=name), reply(1), PRIVATE),
        lambda: store.save_test_scores(name, np.zeros((1, 2))),
        lambda: store.test_scores(name),
    ):
        with pytest.raises(RefusedError, match="MALFORMED_REQUEST"):
            call()
    assert not store.folder.exists()


@given(st.text(max_size=70))
def test_a_safe_name_is_one_part_of_a_path(name: str) -> None:
    try:
        assert safe_name(name) == name
    except RefusedError:
        return
    assert Path(name).name == name
    assert name.isascii()


@pytest.mark.parametrize("length", [0, 4, 60, -1])
def test_a_damaged_file_is_said_by_name_only(length: int, store: SiteStore) -> None:
    store.save(request(1), reply(1), private(1))
    path = store.folder / "runs" / "run-1" / "train-000001.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(CheckpointError, match=r"train-000001\.safetensors cannot be read") as error:
        store.find(request(1))
    assert str(store.folder) not in str(error.value)


def test_an_interrupted_write_leaves_no_answer(store: SiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.save(request(1), reply(1), private(1))
    monkeypatch.undo()
    assert store.find(request(1)) is None
    assert list((store.folder / "runs" / "run-1").iterdir()) == []


def test_a_run_that_was_closed_trains_no_more_and_another_does(store: SiteStore) -> None:
    """Else a server could have test rows scored, and go on by what it learned."""
    closing = request(9, kind="evaluate", splits=("validation", "test"))
    store.save(request(1), reply(1), {})
    store.save(closing, Reply({}, 5, {}, {}), {})
    with pytest.raises(RefusedError, match="ROUND_IN_THE_PAST"):
        store.find(request(2))
    assert store.find(request(1)) is not None
    assert store.find(closing) is not None
    assert store.find(request(2, run="run-2")) is None


def test_the_replies_that_left_can_be_read_again_and_no_refusal(store: SiteStore) -> None:
    assert store.trained("run-1") == {}
    for number in (1, 2):
        store.save(request(number), reply(number), private(number))
    store.save(request(3), Refusal("TRAINING_DIVERGED"), private(3))
    found = store.trained("run-1")
    assert list(found) == [2]  # the last two rounds are kept, and the third was refused
    assert same(found[2], reply(2))
    assert store.trained("run-2") == {}
