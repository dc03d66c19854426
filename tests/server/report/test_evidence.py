from server.model_card import render_card
from server.report.evidence import evidence_tables
from server.report.render import render

TITLES = (
    "Where it is weakest",
    "Subgroups",
    "Known limits",
    "Patients",
    "Calibration at each hospital",
    "Decision curve",
    "What each hospital adds",
    "Provenance",
)


def test_the_report_has_every_section_once_and_needs_nothing_from_elsewhere(evidence_results):
    page = render(evidence_results)
    for title in TITLES:
        assert page.count(f"<h2>{title}</h2>") == 1
    assert "<script" not in page
    assert 'src="' not in page


def test_the_card_has_the_same_tables_and_limits(evidence_results):
    card = render_card(evidence_results)
    assert len(evidence_tables(evidence_results)) == 5
    for table in evidence_tables(evidence_results):
        assert f"**{table.caption}**" in card
    assert "## Known limits" in card
    assert "- Subgroups were examined by sex" in card
    assert "Weakest of 3 hospitals: Long-Beach" in card


def test_results_of_an_old_run_still_render(results):
    page, card = render(results), render_card(results)
    assert "<h2>Subgroups</h2>" not in page
    assert "<h2>Known limits</h2>" in page
    assert "No subgroup was examined" in card
    assert evidence_tables(results) == []


def test_what_a_site_calls_its_values_is_no_markup(evidence_results):
    levels = evidence_results["cohort"]["pooled"]["categories"]["sex"]
    levels["<script>alert(1)</script>"] = {"rows": 20, "hidden_at": 0}
    for site in evidence_results["cohort"]["sites"].values():
        site["categories"]["sex"]["<script>alert(1)</script>"] = 5
    assert "<script" not in render(evidence_results)
    assert "<script" not in render_card(evidence_results).replace("\\<", "")
