"""The table beside the report."""

import io

import pandas as pd

from server.report.diagnostics_csv import HEADER, diagnostics_csv, write_diagnostics

RESULTS = {
    "rounds": [
        {
            "round": 1,
            "participation": {"a": {"status": "accepted", "examples": 30}, "b": {"status": "late", "examples": None}},
            "diagnostics": {
                "update_norms": {"a": 1.5},
                "cosines": {"a": 1.0},
                "drift": 0.25,
                "aggregation_error": None,
            },
        }
    ]
}


def test_it_has_a_row_for_each_round_and_site(tmp_path):
    write_diagnostics(RESULTS, tmp_path / "diagnostics.csv")
    table = pd.read_csv(tmp_path / "diagnostics.csv")
    assert tuple(table.columns) == HEADER
    assert table[["site", "status", "drift"]].to_numpy().tolist() == [["a", "accepted", 0.25], ["b", "late", 0.25]]
    assert table.loc[0, ["examples", "update_norm", "cosine"]].tolist() == [30, 1.5, 1.0]
    assert table.loc[1, ["examples", "update_norm", "cosine"]].isna().all()
    assert table["aggregation_error"].isna().all()


def test_without_rounds_there_is_the_header_alone():
    assert pd.read_csv(io.StringIO(diagnostics_csv({}))).empty
