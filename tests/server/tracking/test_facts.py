"""What a tracker is told before the figures: the study's keys, digests, sites, and no path."""

import json
from pathlib import Path

from common.study import Study
from server.tracking.facts import facts_of, finished, parameters


def test_the_facts_are_those_of_run_and_results(own_run: Path) -> None:
    facts = facts_of(own_run)
    assert facts is not None
    results = json.loads((own_run / "results.json").read_text())
    assert facts.sites == ("east", "north", "west")
    assert facts.run == json.loads((own_run / "events.jsonl").read_text().splitlines()[0])["run"]
    for name in ("study", "schema", "base_model", "bundle"):
        assert facts.tags[f"fedpeft.digest.{name}"] == results["digests"][name]
    assert facts.parameters["training.learning_rate"] == json.dumps(results["study"]["training"]["learning_rate"])
    assert facts.parameters["federation.rounds"] == "2"


def test_where_a_simulation_has_its_rows_is_not_told(own_run: Path) -> None:
    content = json.loads((own_run / "bundle" / "study.json").read_text())
    content["simulation"] = {"data": "/srv/hospital/rows.csv", "site_column": "clinic"}
    found = parameters(Study.model_validate(content))
    content["base_model"]["source"] = "dir:/srv/models/bert"
    found |= parameters(Study.model_validate(content))
    assert found["base_model.source"] == "dir:bert"
    assert not any("/srv" in value or key.startswith("simulation") for key, value in found.items())


def test_a_run_that_has_not_begun_or_ended_has_none(own_run: Path) -> None:
    (own_run / "results.json").unlink()
    assert finished(own_run, number=3, time_ms=0) is None
    (own_run / "events.jsonl").unlink()
    assert facts_of(own_run) is None
