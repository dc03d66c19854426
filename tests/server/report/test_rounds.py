import numpy as np

from common.metrics.classes import ClassMeasure
from common.metrics.types import Metric, Scores
from common.protocol import SplitEvaluation
from server import records
from server.report.charts import loss_chart
from server.report.rounds import diagnostics_table, participation_table, rounds_table, total_bytes, training_rows
from server.report.values import site_names
from server.session import SiteResult


def test_every_status_is_said_in_words_with_its_reason(results):
    table = participation_table(results["rounds"], site_names(results))
    assert len(table.rows) == 4
    assert len(table.header) == 2 + 8
    refused = table.rows[3][2 + 2]
    assert refused.text.endswith("refused")
    assert refused.detail == "training failed"
    words = [cell.text.split()[-1] for row in table.rows for cell in row[2:]]
    assert sorted(set(words)) == ["accepted", "late", "refused"]
    assert words.count("accepted") == 30


def test_a_site_that_is_not_in_a_round_is_absent(results):
    del results["rounds"][0]["participation"]["Cleveland"]
    assert participation_table(results["rounds"], ["Cleveland"]).rows[0][2].text.endswith("absent")


def test_the_claim_of_a_refused_reply_is_not_believed(results):
    entries = results["rounds"]
    honest = training_rows(entries, "Cleveland")
    entries[-1]["participation"]["Cleveland"] = {"status": "refused", "examples": 10**12, "reason": "example count"}
    assert training_rows(entries, "Cleveland") == honest == 151


def test_bytes_add_up_over_rounds_and_sites(results):
    assert total_bytes(results["rounds"], "bytes_up") == 30 * 463_880 + 600
    assert total_bytes([], "bytes_up") is None


def test_each_round_has_one_row_with_its_accepted_updates(results):
    table = rounds_table(results["rounds"])
    assert [row[1].text for row in table.rows] == ["4 of 4"] * 2 + ["3 of 4", "4 of 4", "3 of 4"] + ["4 of 4"] * 3
    assert all(len(row) == len(table.header) for row in table.rows)


def test_what_a_site_trained_is_shown_as_the_server_records_it():
    results = {
        "a": SiteResult("accepted", examples=30, bytes_up=9, bytes_down=9, train={"loss": 0.5, "seconds_train": 2.0}),
        "b": SiteResult("accepted", examples=10, bytes_up=9, bytes_down=9, train={"loss": 0.9, "seconds_train": 1.0}),
        "c": SiteResult("late", "no answer", bytes_down=9),
    }
    scores = SplitEvaluation(Scores(8, 8, {"auroc": Metric(0.75, 8)}))
    entry = {
        "round": 1,
        "seconds": records.seconds(results, total=4.0, aggregate=0.25, diagnose=0.1),
        "participation": records.participation(results),
        "train": records.training(results),
        "validation": records.validation({"a": scores}, ClassMeasure(2), resamples=0, rng=np.random.default_rng(0)),
    }
    table = rounds_table([entry])
    (row,) = [dict(zip(table.header, (cell.text for cell in row), strict=True)) for row in table.rows]
    assert row["Training loss"] == "0.600"  # (30 * 0.5 + 10 * 0.9) / 40
    assert (row["Accepted"], row["Training"], row["Whole round"]) == ("2 of 3", "3.0 s", "4.0 s")
    assert [key.name for key in loss_chart({"rounds": [entry]}, ["a", "b", "c"]).keys] == ["a", "b", "Mean"]


def test_only_numbers_are_shown_as_diagnostics(results):
    results["rounds"][1]["diagnostics"] = {"note": "text", "update_norm": None}
    table = diagnostics_table(results["rounds"])
    assert table.header == ("Round", "update norm")
    assert table.rows[1][1].text == "\N{EN DASH}"
    assert diagnostics_table([{"round": 1, "diagnostics": None}]) is None
