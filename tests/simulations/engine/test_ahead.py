"""Sites computed ahead in groups: what each finds is what it would have computed, and little waits at a time."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.scoring import score
from client.site_work import HERE_AND_NOW
from client.steps import Setting, Step
from client.training import Trained
from common.errors import RefusedError
from common.protocol import Reply, Request, RoundPlan
from common.state import AdapterState
from simulations.engine.ahead import Ahead, Asked, WorkAhead, can_be_grouped
from simulations.engine.engine import Engine
from simulations.engine.plan import Shape
from simulations.folder import RunFolder
from simulations.virtual import VirtualSites

SEVEN = ("federation.sites=[]", "simulation={data='builtin:quick', partition={name='iid', sites=7}}")
PRIVATE = "peft.private=['head.*']"
NEAR = 1e-5


@dataclass
class Watched:
    """An engine that says how many groups it was given."""

    inner: Engine
    submitted: list[Future[Any]] = field(default_factory=list)

    def submit(self, work: Any) -> Future[Any]:
        self.submitted.append(self.inner.submit(work))
        return self.submitted[-1]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@pytest.fixture
def sites(open_run: Callable[..., VirtualSites], tmp_path: Path) -> VirtualSites:
    """Seven sites whose disks are the test's own."""
    return at(open_run(*SEVEN, PRIVATE), tmp_path)


def at(sites: VirtualSites, disks: Path) -> VirtualSites:
    return replace(sites, folder=RunFolder(disks))


@pytest.fixture
def make_ahead(sites: VirtualSites) -> Iterator[Callable[..., Ahead]]:
    made: list[Engine] = []

    def make(workers: int = 1, clients: int = 2) -> Ahead:
        made.append(Engine(sites.bench, sites.execution, Shape(workers, clients), packs=True))
        return Ahead(Watched(made[-1]))  # type: ignore[arg-type] # all that an engine has, by delegation

    yield make
    for engine in made:
        engine.close()


def asked(sites: VirtualSites, site: str, ahead: Ahead | None = None, **changes: Any) -> Asked:
    """The first round; `ahead`: what the site's trainer finds its work in."""
    bundle = sites.bundle
    shared = {name: bundle.initial[name] for name in bundle.schema.shared.names}
    request = Request(
        "train", "run", 1, 0, bundle.study.digest, bundle.schema.digest, RoundPlan(), ("validation",), shared
    )
    work = HERE_AND_NOW if ahead is None else WorkAhead(ahead, site)
    return Asked(sites.trainer(site, work), replace(request, **changes))


def replied(each: Asked) -> Reply:
    answer = each.trainer.answer(each.request)
    assert isinstance(answer, Reply), answer
    return answer


def distance(one: AdapterState, other: AdapterState) -> float:
    assert one.keys() == other.keys()
    return max(float(np.abs(array - other[name]).max()) for name, array in one.items())


def counts(ahead: Ahead) -> list[Future[Any]]:
    return ahead.engine.submitted  # type: ignore[attr-defined,no-any-return] # of `Watched`


@pytest.mark.parametrize(("workers", "clients"), [(1, 2), (2, 2), (2, 3), (1, 9)])
def test_each_site_answers_what_it_answers_alone(
    workers: int, clients: int, sites: VirtualSites, make_ahead: Any
) -> None:
    ahead, others = make_ahead(workers, clients), at(sites, sites.folder.path / "alone")
    waiting = {site: asked(sites, site, ahead) for site in sites.rows}
    order = ahead.expect(waiting.values())
    assert sorted(order) == sorted(sites.rows)
    for site in order:
        found, expected = replied(waiting[site]), replied(asked(others, site))
        ahead.done(site)
        assert distance(found.update, expected.update) < NEAR
        assert found.evaluations["validation"].scores == expected.evaluations["validation"].scores
        assert found.train["steps"] == expected.train["steps"]
        for figure in ("loss", "gradient_norm"):
            assert found.train[figure] == pytest.approx(expected.train[figure], rel=1e-5)
    assert len(counts(ahead)) == (-(-7 // clients) if workers * clients < 7 else min(workers, 7))


def test_who_was_sent_another_state_is_scored_from_it(sites: VirtualSites, make_ahead: Any) -> None:
    moved = {name: sites.bundle.initial[name] + np.float32(0.5) for name in sites.bundle.schema.shared.names}
    each = {s: asked(sites, s, **({"shared": moved} if n % 3 else {})) for n, s in enumerate(sorted(sites.rows))}
    for site in (ahead := make_ahead(1, 9)).expect(each.values()):
        sites.bench.write(each[site].trainer.state_before(each[site].request))
        alone = score(sites.bench, sites.rows[site].validation.examples, execution=sites.execution)
        assert np.array_equal(ahead.scores(site)["validation"], alone)


@pytest.mark.parametrize(("workers", "clients"), [(1, 1), (1, 2), (2, 1), (2, 2)])
def test_no_more_waits_than_the_workers_groups_and_one(
    workers: int, clients: int, sites: VirtualSites, make_ahead: Any
) -> None:
    """When a site's turn comes, at most that many sites have been begun and have not answered."""
    ahead = make_ahead(workers, clients)
    order = ahead.expect(asked(sites, site) for site in sites.rows)
    for turn, site in enumerate(order):
        assert ahead.learned(site) is not None
        begun = min(len(counts(ahead)) * clients, len(order))
        assert begun - turn <= (workers + 1) * clients
        ahead.done(site)
        assert ahead.learned(site) is None  # forgotten
        assert not ahead.scores(site)


def test_groups_come_in_the_order_of_the_plan(sites: VirtualSites, make_ahead: Any) -> None:
    ahead = make_ahead(1, 3)
    waiting = [asked(sites, site) for site in sites.rows]
    work = {each.trainer.name: sum(e.length for e in each.trainer.rows.train.examples) for each in waiting}
    assert ahead.expect(waiting) == sorted(work, key=lambda name: (-work[name], name)) == ahead.expect(waiting[::-1])


def test_a_site_out_of_its_turn_has_the_groups_before_it_begun(sites: VirtualSites, make_ahead: Any) -> None:
    ahead = make_ahead(1, 2)
    order = ahead.expect(asked(sites, site) for site in sites.rows)
    assert ahead.learned(order[-1]) is not None
    assert len(counts(ahead)) == 4


def test_who_was_not_expected_computes_here_and_now(sites: VirtualSites, make_ahead: Any) -> None:
    ahead = make_ahead()
    first, second, *_ = sites.rows
    ahead.expect([asked(sites, first)])
    found = replied(asked(sites, second, ahead))
    assert distance(found.update, replied(asked(at(sites, sites.folder.path / "alone"), second)).update) == 0
    ahead.expect([])
    assert ahead.learned(first) is None


def test_what_is_only_scored_is_not_trained(sites: VirtualSites, make_ahead: Any) -> None:
    ahead = make_ahead(1, 7)
    first, second, *_ = sites.rows
    closing = asked(sites, first, kind="evaluate", splits=("validation", "test"))
    ahead.expect([closing, asked(sites, second)])
    assert ahead.learned(first) is None
    assert ahead.learned(second) is not None
    sites.bench.write(closing.trainer.state_before(closing.request))
    for split in ("validation", "test"):
        expected = score(sites.bench, sites.rows[first].part(split).examples, execution=sites.execution)
        np.testing.assert_array_equal(ahead.scores(first)[split], expected)


def test_a_group_is_trained_with_those_of_its_sites_that_have_answered(sites: VirtualSites, make_ahead: Any) -> None:
    """A run that goes on after a kill has the same groups, hence the same bytes, as one that nobody disturbed."""
    names, whole, again = list(sites.rows), make_ahead(1, 4), make_ahead(1, 4)
    order = whole.expect(asked(sites, site) for site in names)
    expected = {site: whole.learned(site) for site in order[:4]}
    for site in order[:2]:
        replied(asked(sites, site))
    assert again.expect(asked(sites, site) for site in names) == order
    for site in order[:4]:
        found = again.learned(site)
        assert found is not None
        assert distance(found.outcome.state, expected[site].outcome.state) == 0


def test_a_group_that_has_answered_is_not_trained_again(sites: VirtualSites, make_ahead: Any) -> None:
    ahead = make_ahead(1, 2)
    order = ahead.expect(asked(sites, site) for site in sites.rows)
    for site in order[:2]:
        replied(asked(sites, site))
    for site in ahead.expect(asked(sites, site) for site in sites.rows)[2:]:
        assert ahead.learned(site) is not None
        ahead.done(site)
    assert len(counts(ahead)) == 3
    assert ahead.learned(order[0]) is None


def test_a_site_whose_disk_is_damaged_is_alone_with_it(sites: VirtualSites, make_ahead: Any) -> None:
    """It has private tensors of the round before, which cannot be read."""
    names = list(sites.rows)
    for site in names:
        replied(asked(sites, site))
    shared = asked(sites, names[0]).request.shared
    (file,) = (sites.folder.sites / names[2]).glob("runs/run/train-000001.safetensors")
    file.write_bytes(file.read_bytes()[:100])
    ahead = make_ahead(1, 7)
    order = ahead.expect(asked(sites, site, round=2, shared=shared) for site in names)
    assert {site for site in order if ahead.learned(site) is None} == {names[2]}
    assert ahead.scores(names[2]) == {}
    assert ahead.scores(names[1]) != {}


@pytest.mark.parametrize("part", ["train", "validation"])
def test_rows_that_the_model_cannot_take_fail_their_own_site_only(
    part: str, sites: VirtualSites, make_ahead: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The others of its group compute alone, to the bit; other groups stay groups."""
    ahead, bad = make_ahead(1, 3), next(iter(sites.rows))
    rows = sites.rows[bad]
    whole = getattr(rows, part)
    foreign = replace(whole, examples=[replace(whole.examples[0], input_ids=(10**6,)), *whole.examples[1:]])
    sites = replace(sites, rows={**sites.rows, bad: replace(rows, **{part: foreign})})
    waiting, others = {site: asked(sites, site, ahead) for site in sites.rows}, at(sites, sites.folder.path / "alone")
    order = ahead.expect(waiting.values())
    beside = order[order.index(bad) // 3 * 3 :][:3]
    for site in order:
        assert (ahead.learned(site) is None) == (site in beside)
        if site == bad:
            with pytest.raises(IndexError):
                waiting[site].trainer.answer(waiting[site].request)
        else:
            found, expected = replied(waiting[site]), replied(asked(others, site))
            assert distance(found.update, expected.update) < (1e-30 if site in beside else NEAR)
        ahead.done(site)
    assert caplog.messages == [f"{len(beside)} clients cannot be computed as one (IndexError) and go one by one"]


def test_one_whose_answer_is_damaged_is_taken_as_answered(sites: VirtualSites) -> None:
    site = next(iter(sites.rows))
    assert not asked(sites, site).is_answered
    replied(asked(sites, site))
    assert asked(sites, site).is_answered
    assert asked(sites, site, seed=9).is_answered  # another question about that round is refused
    (file,) = (sites.folder.sites / site).glob("runs/run/train-000001.safetensors")
    file.write_bytes(file.read_bytes()[:100])
    assert asked(sites, site).is_answered


def test_sites_that_are_to_train_other_tensors_are_in_groups_apart(sites: VirtualSites, make_ahead: Any) -> None:
    """A strategy plans for each site; what is not active at a site keeps every bit there."""
    ahead, names = make_ahead(1, 7), list(sites.rows)
    shared = sites.bundle.schema.shared.names
    parts = [tuple(name for name in shared if end in name) for end in ("lora_A", "lora_B")]
    waiting = {site: asked(sites, site, plan=RoundPlan(active=parts[i % 2])) for i, site in enumerate(names)}
    assert ahead.expect(waiting.values()) == ahead.expect(list(waiting.values())[::-1])
    for i, site in enumerate(names):
        found, before = ahead.learned(site), waiting[site].request.shared
        assert found is not None
        moved = {name for name in shared if (found.outcome.state[name] != before[name]).any()}
        assert moved <= set(parts[i % 2])
        assert moved or i % 2 == 0  # B begins at zero, so A has no gradient in the first step
    assert len(counts(ahead)) == 2


def test_what_adds_to_the_loss_is_not_grouped(sites: VirtualSites) -> None:
    site = next(iter(sites.rows))
    assert can_be_grouped(asked(sites, site))
    assert not can_be_grouped(asked(sites, site, plan=RoundPlan(extra={"tail": 1.0})))
    assert can_be_grouped(asked(sites, site, kind="evaluate", plan=RoundPlan(extra={"tail": 1.0})))


def test_divergence_and_steps_are_told_to_whom_they_concern(sites: VirtualSites, make_ahead: Any) -> None:
    ahead, told = make_ahead(1, 2), {}
    first, second, *_ = sites.rows
    good, bad = asked(sites, first), asked(sites, second)
    # A head so large that its class's loss is not finite in float32, while all tensors are.
    name = next(n for n in bad.request.shared)
    wrong = {**bad.request.shared, name: np.full_like(bad.request.shared[name], 3e38)}
    bad = asked(sites, second, shared=wrong)
    ahead.expect([good, bad])
    for each in (good, bad):
        steps: list[Step] = []
        work, trainer = WorkAhead(ahead, each.trainer.name), each.trainer
        about = (trainer.round_work(each.request), sites.bench, trainer.rows.train.examples)
        trained: Trained | None = None
        with suppress(RefusedError):
            trained = work.train(*about, execution=sites.execution, setting=Setting(after_step=steps.append))
        told[each.trainer.name] = trained, steps
    assert told[second][0] is None
    with pytest.raises(RefusedError, match="TRAINING_DIVERGED"):
        WorkAhead(ahead, second).train(*about, execution=sites.execution, setting=Setting())
    trained, steps = told[first]
    assert trained is not None
    assert [step.number for step in steps] == list(range(trained.steps))
    assert all(step.update_norm is not None for step in steps)
    assert np.mean([float(step.loss) for step in steps]) == pytest.approx(trained.loss, rel=1e-5)
