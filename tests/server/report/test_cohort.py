from server.report.cohort import HIDDEN_NOTE, PART_NOTE, cohort_table, hidden_count


def cells(results, name):
    sites = list(results["cohort"]["sites"])
    (row,) = [row for row in cohort_table(results, sites).rows if row[0].text == name]
    return row[1:]


def test_counts_stand_with_percent_and_numbers_with_deviation(evidence_results):
    assert [cell.text for cell in cells(evidence_results, "Rows")] == ["303", "294", "123", "200", "920"]
    assert (cells(evidence_results, "disease: no")[0].text, cells(evidence_results, "disease: no")[0].detail) == (
        "151",
        "50 %",
    )
    assert (cells(evidence_results, "age, mean")[0].text, cells(evidence_results, "age, mean")[0].detail) == (
        "54",
        "\N{PLUS-MINUS SIGN} 9.2",
    )


def test_a_hidden_cell_says_so_and_its_total_is_a_least_one(evidence_results):
    women = cells(evidence_results, "sex: woman")
    assert [cell.text for cell in women] == ["50", "50", "hidden", "50", "\N{GREATER-THAN OR EQUAL TO} 150"]
    assert (women[2].note, women[4].note) == (HIDDEN_NOTE, PART_NOTE)
    assert hidden_count(evidence_results) == 3


def test_a_missing_value_has_a_line_only_where_some_hospital_tells_of_one(evidence_results):
    names = [row[0].text for row in cohort_table(evidence_results, ["Cleveland", "Zurich-Basel"]).rows]
    assert "sex: missing" not in names
    evidence_results["cohort"]["sites"]["Cleveland"]["categories"]["sex"]["missing"] = 12
    assert cells(evidence_results, "sex: missing")[0].text == "12"


def test_many_hospitals_have_one_column(evidence_results):
    sites = evidence_results["cohort"]["sites"]
    sites |= {f"site-{i}": sites["Cleveland"] for i in range(20)}
    assert cohort_table(evidence_results, list(sites)).header == ("All rows of a hospital", "All hospitals")


def test_a_hospital_that_tells_nothing_is_hidden_everywhere(evidence_results):
    site = evidence_results["cohort"]["sites"]["Cleveland"]
    site.update(dict.fromkeys(("rows", "patients", "labels", "categories", "numbers")))
    assert {cells(evidence_results, name)[0].text for name in ("Rows", "disease: yes", "age, mean")} == {"hidden"}
    assert hidden_count(evidence_results) == 4


def test_results_without_a_cohort_have_no_table(results):
    assert cohort_table(results, ["Cleveland"]) is None
    assert hidden_count(results) == 0
