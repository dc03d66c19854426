from server.report.contributions import contributions_table
from server.report.lead import AUROC


def test_each_hospital_has_what_it_adds_with_its_interval(evidence_results):
    sites = evidence_results["study"]["federation"]["sites"]
    table = contributions_table(evidence_results, sites, AUROC)
    first, last = table.rows[0], table.rows[-1]
    assert [cell.text for cell in first[:4]] == ["Cleveland", "0.840", "0.820", "+0.020"]
    assert first[3].detail == "+0.010 to +0.030"
    assert "better" in first[-1].text
    assert {cell.note for cell in last[1:-1]} == {"too few sites answered"}


def test_results_without_them_have_no_table(results):
    assert contributions_table(results, ["Cleveland"], AUROC) is None
