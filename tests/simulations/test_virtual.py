import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from client.data import Rows
from client.site_rows import split_of
from common.errors import DataError, StudyError
from common.protocol import Reply, Request, RoundPlan
from common.state import digest_state
from common.study import Study, replaced
from simulations.run import run
from simulations.virtual import (
    VirtualSites,
    check_sites,
    open_sites,
    read_sites,
    resident_sites,
    with_sites,
)

Open = Callable[..., VirtualSites]


def test_each_site_has_its_own_rows_and_together_all(open_run: Open) -> None:
    sites = open_run()
    assert list(sites.rows) == list(sites.raw) == ["east", "north", "west"]
    for site, raw in sites.raw.items():
        rows = sites.rows[site]
        assert len(rows.train) + len(rows.validation) + len(rows.test) == len(raw)
        patients = [set(part.patients) for part in (rows.train, rows.validation, rows.test)]
        assert sum(map(len, patients)) == len(set.union(*patients)) == len(set(raw.patients))
        assert all(patient.startswith(site) for patient in raw.patients)
    assert sum(map(len, sites.raw.values())) == 135


def test_texts_are_tokenised_once_and_labels_go_with_them(open_run: Open) -> None:
    sites = open_run()
    for part in (sites.rows["east"].train, sites.rows["east"].test):
        assert [example.target for example in part.examples] == part.labels.tolist()
        assert max(len(example.input_ids) for example in part.examples) <= sites.bench.max_length


def test_a_process_opens_a_run_once(open_run: Open) -> None:
    sites = open_run()
    assert resident_sites(str(sites.folder.path)) is sites


def test_a_start_goes_on_with_the_model_that_its_adapter_was_drawn_in(open_run: Open) -> None:
    """Another one, opened for the rounds, would hold what seed 0 draws."""
    sites = open_run("seed=5")
    assert digest_state(sites.bench.read()) == digest_state(sites.bundle.initial)


def test_sites_answer_from_their_own_disks_with_their_own_names(open_run: Open, tmp_path: Path) -> None:
    """Also after another site has used the shared model."""
    sites = open_run("evaluation.resamples=21")  # no other test's: a site answers to so many runs, and no more
    bundle = sites.bundle
    study, schema, splits = bundle.study.digest, bundle.schema.digest, ("validation",)
    request = Request("train", "run-virtual", 1, 0, study, schema, RoundPlan(), splits, dict(bundle.initial))
    digests = {}
    for site in ("east", "west", "north"):
        trainer = sites.trainer(site)
        answer = trainer.answer(request)
        assert trainer.name == site
        assert isinstance(answer, Reply)
        assert answer.examples == len(sites.rows[site].train)
        assert (sites.folder.sites / site / "journal.jsonl").exists()
        digests[site] = digest_state(answer.update)
    assert len(set(digests.values())) == 3
    fresh = replace(open_sites(sites.folder, bundle, sites.execution), folder=type(sites.folder)(tmp_path))
    again = fresh.trainer("north").answer(request)
    assert isinstance(again, Reply)
    assert digest_state(again.update) == digests["north"]


def test_the_roster_chooses_sites(make_study: Callable[..., Study], tmp_path: Path) -> None:
    study = make_study("federation.sites=['west','east']")
    assert list(read_sites(study, tmp_path)) == ["east", "west"]
    with pytest.raises(DataError, match=r"federation\.sites: 'south' has no rows; the data have: east, north, west"):
        read_sites(make_study("federation.sites=['south']"), tmp_path)


def test_a_data_error_names_the_file_once(make_study: Callable[..., Study], tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    for text, message in [
        ("site,patient,age,note,outcome\na,1,50,x,maybe\n", r"^data file 'mine\.csv', target 'outcome', row 1"),
        ("site,patient,age,note\na,1,50,x\n", r"^data file 'mine\.csv' has no column 'outcome'"),
    ]:
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            read_sites(replaced(make_study(), {"simulation.data": str(path)}), tmp_path)


def test_a_site_without_training_rows_is_refused(
    site_rows: Mapping[str, Rows], make_study: Callable[..., Study]
) -> None:
    study = make_study()
    check_sites(site_rows, study)
    single = replace(site_rows["east"].take(np.array([0])), patients=["p-0"])
    in_test = next(f"p-{i}" for i in range(99) if not len(split_of(replace(single, patients=[f"p-{i}"]), study).train))
    with pytest.raises(DataError, match=r"'alone' has no training rows \(1 rows in all\); leave it out"):
        check_sites({**site_rows, "alone": replace(single, patients=[in_test])}, study)


def test_a_study_that_these_sites_cannot_play_is_refused(
    site_rows: Mapping[str, Rows], make_study: Callable[..., Study]
) -> None:
    with pytest.raises(StudyError, match=r"federation\.ranks names 'nowhere', which is none of the sites: east, "):
        check_sites(site_rows, replaced(make_study(), {"federation.sites": (), "federation.ranks": {"nowhere": 1}}))
    with pytest.raises(StudyError, match=r"'multi-krum' needs \d+ sites in a round"):
        check_sites(site_rows, replaced(make_study(), {"aggregation": {"name": "multi-krum"}}))


def test_the_roster_is_locked_in_the_order_of_names(
    make_study: Callable[..., Study], site_rows: Mapping[str, Rows]
) -> None:
    backwards = {site: site_rows[site] for site in reversed(list(site_rows))}
    assert with_sites(make_study(), backwards).federation.sites == ("east", "north", "west")


CLOSED = {
    "last": [("evaluate", 3, ("validation", "test"))],
    "best": [("evaluate", 3, ("validation",)), ("evaluate", 4, ("test",))],
}


@pytest.mark.parametrize(
    ("keep", "override"), [("last", ""), ("best", ""), ("last", 'peft.private=["head.*"]'), ("last", "seed=7")]
)
def test_the_server_asks_only_what_sites_consent_to_and_all_of_it(keep: str, override: str, tmp_path: Path) -> None:
    """Server and site decide apart from each other what a run's requests are: this is where they must agree."""
    fast = ["training.local_epochs=1", "evaluation.resamples=10", f"evaluation.keep={keep!r}"]
    run("quick", out=tmp_path / "out", rounds=2, overrides=[*fast, *filter(None, [override])], comparison=False)
    journals = sorted((tmp_path / "out" / "sites").glob("*/journal.jsonl"))
    assert [path.parent.name for path in journals] == ["east", "north", "west"]
    for path in journals:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert {(line["decision"], line["reason"]) for line in lines} == {("released", None)}
        asked = [(line["kind"], line["round"], tuple(line["histograms"])) for line in lines]
        rounds = [("train", number, ("validation",)) for number in (1, 2)]
        closed = [(kind, number, tuple(sorted(splits))) for kind, number, splits in CLOSED[keep]]
        assert asked == [*rounds, *closed]
        assert [child.name for child in (path.parent / "runs").iterdir()] == [lines[0]["run"]]
