from server.report.provenance import provenance_json, provenance_tables


def test_the_tables_say_what_was_kept_and_by_which_receipts(evidence_results):
    run, receipts = provenance_tables(evidence_results)
    found = {row[0].text: row[1].text for row in run.rows}
    assert found["Adapter"] == evidence_results["digests"]["adapter"]
    assert found["Kept round"] == "8 of 8"
    assert found["Goes on from"] == "no earlier version"
    assert found["Receipts"] == "36, signed and chained"
    assert found["Their head"].startswith("sha256:c5")
    assert [row[1].text for row in receipts.rows] == ["9"] * 4


def test_a_parent_is_named(evidence_results):
    evidence_results["parent"] = {"study": "heart", "version": 3}
    assert provenance_tables(evidence_results)[0].rows[2][1].text == "study heart, version 3"


def test_the_json_has_everything_that_was_recorded(evidence_results):
    found = provenance_json(evidence_results)
    for key in ("study", "command", "digests", "versions", "execution", "receipts", "kept_round", "seeds"):
        assert found[key] == evidence_results[key]
    assert (found["rounds"], found["parent"]) == (8, None)


def test_results_without_an_adapter_have_no_table():
    assert provenance_tables({}) == []
