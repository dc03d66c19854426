from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from client.app import make_app as client_app
from common.errors import ParticipationError, StudyError
from common.metrics.classes import ClassMeasure
from common.protocol import Refusal
from common.state import digest_state
from common.study import Study, replaced
from server.aggregation.fedavg import FedAvg
from server.app import job_of, make_app
from server.closing import Outcome
from simulations.inprocess import run_inprocess

MakeLab = Callable[..., Any]


def play(made: Any, **changes: Any) -> list[Outcome]:
    outcomes: list[Outcome] = []
    job = made.job(**changes)
    app = make_app(job, made.start(), deliver=outcomes.append, progress=made.events.append)
    run_inprocess(app, client_app(made.site_of), job.sites)
    return outcomes


def test_the_app_plays_the_rounds_and_delivers_the_outcome(lab: MakeLab) -> None:
    made = lab(3)
    (outcome,) = play(made)
    assert digest_state(outcome.adapter) == digest_state(lab(3, folder="bare").run().adapter)
    assert made.events


def test_too_little_participation_reaches_the_caller(lab: MakeLab) -> None:
    made = lab(2, site_a=lambda r, q: Refusal("REFUSED_BY_POLICY"), site_b=lambda r, q: Refusal("REFUSED_BY_POLICY"))
    with pytest.raises(ParticipationError, match="round 1: 0 of 2"):
        play(made)


def study(**aggregation: Any) -> Study:
    content: Mapping[str, Any] = {
        "name": "s",
        "base_model": {"source": "dir:model"},
        "task": {"labels": ["no", "yes", "perhaps"]},
        "federation": {"rounds": 5, "fraction": 0.5, "quorum": 0.25, "deadline_s": 60.0},
        "aggregation": {"weighting": "uniform", "norm_bound": 3.0, **aggregation},
        "evaluation": {"keep": "last", "resamples": 10},
    }
    return Study.model_validate(content)


def test_a_job_is_what_the_study_says(lab: MakeLab, tmp_path: Path) -> None:
    schema = lab(1).job().schema
    job = job_of(study(), schema, sites=("a", "b"), seed=4, folder=tmp_path)
    assert (job.study, job.schema, job.measure, job.strategy) == (study().digest, schema, ClassMeasure(3), FedAvg())
    assert (job.sites, job.rounds, job.seed, job.folder) == (("a", "b"), 5, 4, tmp_path)
    assert (job.fraction, job.quorum, job.deadline_s) == (0.5, 0.25, 60.0)
    assert (job.weighting, job.norm_bound, job.keep, job.resamples) == ("uniform", 3.0, "last", 10)


def test_a_job_keeps_the_best_round_where_the_study_says_so(lab: MakeLab, tmp_path: Path) -> None:
    chosen = replaced(study(), {"federation.fraction": 1.0, "evaluation.keep": "best"})
    assert job_of(chosen, lab(1).job().schema, sites=("a",), seed=0, folder=tmp_path).keep == "best"


def test_an_unknown_strategy_or_option_names_what_there_is(lab: MakeLab, tmp_path: Path) -> None:
    for wrong, said in (({"name": "fedwrong"}, "fedavg"), ({"momentum": 0.9}, "momentum")):
        with pytest.raises(StudyError, match=said):
            job_of(study(**wrong), lab(1).job().schema, sites=("a",), seed=0, folder=tmp_path)
