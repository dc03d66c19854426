import json

from server.report.evidence_file import FILE, evidence_of, write_evidence


def test_everything_is_there_and_what_is_absent_is_null(evidence_results, results):
    full, old = evidence_of(evidence_results), evidence_of(results)
    assert set(full) == set(old)
    for key in ("cohort", "subgroups", "recalibration", "decision_curve", "contributions"):
        assert full[key] == evidence_results[key]
        assert old[key] is None
    assert full["metrics"] == evidence_results["comparison"]["federated"]
    assert full["weakest"]["site"]["name"] == "Long-Beach"
    assert full["weakest"]["subgroup"]["name"] == "sex=woman"
    assert old["weakest"]["subgroup"] is None
    assert full["simulated"] is True
    assert full["limits"]


def test_it_is_written_as_json(evidence_results, tmp_path):
    write_evidence(evidence_results, tmp_path / FILE)
    assert json.loads((tmp_path / FILE).read_text()) == evidence_of(evidence_results)


def test_the_runtime_tells_real_sites_from_a_simulation(results):
    results["execution"]["runtime"] = "superlink"
    assert evidence_of(results)["simulated"] is False
    del results["execution"]["runtime"]
    assert evidence_of(results)["simulated"] is None
