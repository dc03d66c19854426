"""One bad site in a whole run, the others real: the run is that of the others, and says what was wrong.

What a bad site sends goes through Flower's own messages; the good sites are the trainers of a simulation.
"""

import json
import pickle
from collections.abc import Callable, Iterable, Iterator
from contextlib import chdir
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from client.app import make_app as make_client
from common.errors import ParticipationError
from server.exchange import Clock
from server.rounds import run_rounds
from simulations.inprocess import InProcessGrid, task_identity
from simulations.results import Results
from simulations.run import run
from simulations.stages import Runtime

BAD = "north"
PATIENT = "Jane Doe, born 1949"
Tamper = Callable[[RecordDict], RecordDict | None]


def of_good_sites(sites: Any, job: Any) -> ClientApp:
    return make_client(lambda context: sites.trainer(job.sites[int(context.node_config["partition-id"])]))


def client_with(tamper: Tamper, sites: Any, job: Any) -> ClientApp:
    """The app of the good sites; what the bad one answers is tampered with."""
    good, app = of_good_sites(sites, job), ClientApp()

    def handle(message: Message, context: Context) -> Message:
        reply = good(message, context)
        if job.sites[int(context.node_config["partition-id"])] != BAD or message.metadata.message_type == "query":
            return reply
        content = tamper(reply.content)
        return None if content is None else Message(content, reply_to=message)  # type: ignore[return-value]

    app.train()(handle)
    app.evaluate()(handle)
    app.query()(handle)
    return app


def over(make: Callable[[Any, Any], ClientApp]) -> Runtime:
    """A runtime in process whose client app `make` makes of the sites and the job."""

    def play(sites: Any, job: Any, state: Any, deliver: Any, progress: Any) -> None:
        with task_identity():
            grid = InProcessGrid(make(sites, job), job.sites)
            deliver(run_rounds(grid, replace(job, deadline_s=None, connect_s=None), state, progress=progress))

    return play


def tampered(tamper: Tamper) -> Runtime:
    return over(lambda sites, job: client_with(tamper, sites, job))


def head_of(answer: object) -> ConfigRecord:
    return ConfigRecord({"json": json.dumps({"answer": answer, "schema": None, "extra": []})})


def changed_answer(**changes: object) -> Tamper:
    def tamper(content: RecordDict) -> RecordDict:
        head = json.loads(str(content["head"]["json"]))  # type: ignore[index]
        head["answer"] |= changes
        return RecordDict({**content, "head": ConfigRecord({"json": json.dumps(head)})})

    return tamper


def changed_update(change: Callable[[np.ndarray[Any, Any]], Array | np.ndarray[Any, Any]]) -> Tamper:
    def tamper(content: RecordDict) -> RecordDict:
        if not content.get("update"):
            return content
        arrays = {name: change(array.numpy()) for name, array in content["update"].items()}  # type: ignore[union-attr]
        made = {name: a if isinstance(a, Array) else Array(a) for name, a in arrays.items()}
        return RecordDict({**content, "update": ArrayRecord(made)})

    return tamper


def one_nan(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.concatenate([array[:-1], np.full(1, np.nan, array.dtype)])


class Explosive:
    """What a pickle would run when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("exploded"),))


def pickled(array: np.ndarray[Any, Any]) -> Array:
    stream = BytesIO()
    np.save(stream, np.array([Explosive()], dtype=object), allow_pickle=True)
    assert pickle.PROTO in stream.getvalue()
    return Array(dtype=str(array.dtype), shape=array.shape, stype="numpy.ndarray", data=stream.getvalue())


def extra_tensor(content: RecordDict) -> RecordDict:
    extra = {"base.weight": Array(np.ones(3, np.float32))}
    update = content.get("update")
    return RecordDict({**content, "update": ArrayRecord({**(update or {}), **extra})})  # type: ignore[dict-item]


def extra_record(content: RecordDict) -> RecordDict:
    return RecordDict({**content, "notes": ConfigRecord({"patient": PATIENT})})


MISDEEDS: dict[str, tuple[Tamper, str, str]] = {
    "NaN": (changed_update(one_nan), "refused", "not finite"),
    "infinity": (changed_update(lambda a: np.full_like(a, np.inf)), "refused", "not finite"),
    "wrong shape": (changed_update(lambda a: a[:-1]), "refused", "not declared as float32[1090]"),
    "wrong dtype": (changed_update(lambda a: a.astype(np.float64)), "refused", "not declared as float32[1090]"),
    "extra tensor": (extra_tensor, "refused", "has 2 arrays, expected"),
    "extra record": (extra_record, "refused", "has 3 records, expected exactly"),
    "pickled object": (changed_update(pickled), "refused", ""),
    "1e12 examples": (changed_answer(examples=10**12), "refused", "1000000000000 examples"),
    "no examples": (changed_answer(examples=0), "refused", "0 examples"),
    "another word": (lambda _: RecordDict({"head": head_of({"refused": PATIENT})}), "refused", "word that is not in"),
    "no JSON": (lambda _: RecordDict({"head": ConfigRecord({"json": PATIENT})}), "refused", "JSON"),
    "nothing": (lambda _: RecordDict(), "refused", "lacks its head"),
    "None": (lambda _: None, "failed", ""),
}


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Results]:
    def start(runtime: Runtime | str, *overrides: str, comparison: bool = False) -> Results:
        fast = ("training.local_epochs=1", "evaluation.resamples=10", "federation.rounds=2")
        out = tmp_path_factory.mktemp("run") / "out"
        given = [*fast, *overrides]
        return run("quick", out=out, runtime=runtime, overrides=given, comparison=comparison, group_size=1)

    return start


@pytest.fixture(scope="module")
def without(play: Callable[..., Results]) -> str:
    """The adapter of the good sites alone."""
    return str(play("inprocess", 'federation.sites=["east","west"]').content["digests"]["adapter"])


def statuses(results: Results, site: str) -> list[tuple[str, str | None]]:
    found = [record["participation"][site] for record in results.content["rounds"]]
    return [(p["status"], p.get("reason")) for p in found]


def everything_under(folder: Path) -> Iterator[bytes]:
    for path in folder.rglob("*"):
        yield str(path).encode()
        if path.is_file():
            yield path.read_bytes()


def check_run_of_the_others(results: Results, without: str) -> None:
    assert results.content["digests"]["adapter"] == without
    for site in ("east", "west"):
        assert set(statuses(results, site)) == {("accepted", None)}
    assert not any(PATIENT.encode() in content for content in everything_under(results.folder))
    assert BAD in (results.folder / "report.html").read_text()


@pytest.fixture(scope="module")
def misbehaved(play: Callable[..., Results], tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A run with one misdeed in each round; the adapter is that of the others all the same."""
    todo, rounds = iter(MISDEEDS.values()), f"federation.rounds={len(MISDEEDS)}"

    def next_misdeed(content: RecordDict) -> RecordDict | None:
        tamper, *_ = next(todo, (lambda unchanged: unchanged, "", ""))
        return tamper(content)

    here = tmp_path_factory.mktemp("here")
    with chdir(here):
        results = play(tampered(next_misdeed), rounds)
    assert list(here.iterdir()) == []  # nothing exploded
    others = play("inprocess", 'federation.sites=["east","west"]', rounds)
    check_run_of_the_others(results, str(others.content["digests"]["adapter"]))
    return results


@pytest.mark.parametrize(("number", "misdeed"), list(enumerate(MISDEEDS)), ids=list(MISDEEDS))
def test_a_bad_reply_is_left_out_with_a_reason(number: int, misdeed: str, misbehaved: Results) -> None:
    _, status, words = MISDEEDS[misdeed]
    found, reason = statuses(misbehaved, BAD)[number]
    assert found == status
    assert reason
    assert words in reason


@dataclass(frozen=True)
class Raising:
    """A site whose answer fails with a patient's name in the words."""

    name: str
    schema: Any

    def answer(self, request: Any) -> Any:
        raise ValueError(f"could not convert {PATIENT!r} to a number")


def with_raising_site(sites: Any, job: Any) -> ClientApp:
    def site_of(context: Context) -> Any:
        name = job.sites[int(context.node_config["partition-id"])]
        return Raising(name, job.schema) if name == BAD else sites.trainer(name)

    return make_client(site_of)


def test_an_exception_s_text_stays_in_the_site_s_log(
    play: Callable[..., Results], without: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also with a comparison, which is then over the sites that answered."""
    results = play(over(with_raising_site), comparison=True)
    check_run_of_the_others(results, without)
    assert statuses(results, BAD) == [("failed", "TRAINING_FAILED")] * 2
    assert {record.name for record in caplog.records if PATIENT in caplog.text} == {"fedpeft.site"}
    assert PATIENT not in capsys.readouterr().out
    assert sorted(results.content["comparison"]["federated"]["sites"]) == ["east", "west"]
    assert results.content["closing"]["participation"][BAD]["reason"] == "TRAINING_FAILED"


@pytest.mark.parametrize("word", ["REFUSED_BY_POLICY", "NO_TRAINING_ROWS"])
def test_a_word_of_refusal_is_the_reason(word: str, play: Callable[..., Results], without: str) -> None:
    answer = RecordDict({"head": head_of({"refused": word})})
    results = play(tampered(lambda _: answer))
    check_run_of_the_others(results, without)
    assert statuses(results, BAD) == [("refused", word)] * 2


def test_a_site_that_is_bad_in_one_round_counts_in_the_others(play: Callable[..., Results], without: str) -> None:
    asked: list[RecordDict] = []

    def only_first(content: RecordDict) -> RecordDict:
        asked.append(content)
        return changed_update(one_nan)(content) if len(asked) == 1 else content

    results = play(tampered(only_first))
    assert [status for status, _ in statuses(results, BAD)] == ["refused", "accepted"]
    assert results.content["digests"]["adapter"] != without


def test_a_majority_that_refuses_ends_the_run_with_its_reasons(play: Callable[..., Results]) -> None:
    refusing = over(lambda sites, job: make_client(lambda context: Raising("x", job.schema)))
    with pytest.raises(ParticipationError, match=r"0 of 3 sites .* 2 are needed: east failed \(TRAINING_FAILED\)"):
        play(refusing)


@dataclass
class SlowGrid:
    """A grid whose clock passes only by waiting, and at which one site never answers."""

    inner: InProcessGrid
    slow: int
    seconds: float = 0.0
    unanswered: set[str] = field(default_factory=set)

    def get_nodes(self) -> Iterable[Any]:
        return self.inner.get_nodes()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        for message in list(messages):
            (sent,) = self.inner.push_messages([message])
            if message.metadata.dst_node_id == self.slow:
                self.unanswered.add(sent)
            yield sent

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return self.inner.pull_messages(set(message_ids) - self.unanswered)

    def wait(self, seconds: float) -> None:
        self.seconds += seconds


def slow(sites: Any, job: Any, state: Any, deliver: Any, progress: Any) -> None:
    with task_identity():
        inner = InProcessGrid(of_good_sites(sites, job), job.sites)
        grid = SlowGrid(inner, next(node.node_id for node in inner.get_nodes() if node.name == BAD))
        clock = Clock(now=lambda: grid.seconds, wait=grid.wait)
        patient = replace(job, deadline_s=600.0, connect_s=None)
        deliver(run_rounds(grid, patient, state, progress=progress, clock=clock))
        assert 630 <= grid.seconds < 632  # still at round 1, it is waited for in later ones for the grace of 15 s only


def test_a_late_site_is_waited_for_and_then_left_out(play: Callable[..., Results], without: str) -> None:
    results = play(slow)
    check_run_of_the_others(results, without)
    assert statuses(results, BAD) == [("late", "no answer in time"), ("late", "still at an earlier round")]
