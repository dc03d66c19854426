from server.report.lead import AUROC
from server.report.subgroups import hidden_subgroups, subgroups_table


def test_each_subgroup_has_its_value_and_interval_and_a_hidden_one_its_reason(evidence_results):
    sites = evidence_results["study"]["federation"]["sites"]
    table = subgroups_table(evidence_results, sites, AUROC)
    assert table.header == ("Subgroup", "Pooled", *sites)
    women = table.rows[0]
    assert (women[0].text, women[1].text, women[1].detail) == ("sex: woman", "0.710", "0.610 to 0.810")
    assert (women[2].text, women[2].tone) == ("\N{EN DASH}", "muted")
    assert "hidden" in women[2].note
    assert hidden_subgroups(evidence_results) == 1


def test_rows_without_a_value_have_a_line_only_where_something_is_known_of_them(evidence_results):
    found = evidence_results["subgroups"]
    hides = found["sites"]["Cleveland"]["sex=woman"]
    found["pooled"]["sex=missing"] = found["sites"]["Cleveland"]["sex=missing"] = hides
    names = [row[0].text for row in subgroups_table(evidence_results, ["Cleveland"], AUROC).rows]
    assert names == ["sex: woman", "sex: man"]
    found["sites"]["Cleveland"]["sex=missing"] = found["sites"]["Cleveland"]["sex=man"]
    assert len(subgroups_table(evidence_results, ["Cleveland"], AUROC).rows) == 3


def test_results_without_subgroups_have_no_table(results):
    assert subgroups_table(results, ["Cleveland"], AUROC) is None
    assert hidden_subgroups(results) == 0
