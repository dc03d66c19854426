from server.report.terminal import MOST_SITES, terminal_table


def test_rows_are_modes_and_columns_sites_then_mean_and_pooled(results):
    header, *rows = terminal_table(results)
    assert header == ["test AUROC", "Cleveland", "Budapest", "Zurich-Basel", "Long-Beach", "mean", "pooled"]
    named = {row[0]: row[1:] for row in rows}
    assert named["federated"] == ["0.912", "0.884", "-", "0.705", "0.834", "0.874"]
    assert named["benefit of joining"][:4] == ["-0.007", "+0.016", "-", "+0.083"]
    assert named["joining is"][:4] == ["unclear", "unclear", "-", "better"]


def test_every_table_is_rectangular_and_plain_text(make_results):
    for sites in ({"one": 100}, {f"h{i}": 100 for i in range(50)}, None):
        for compared in (True, False):
            results = make_results(sites, 1)
            if not compared:
                results["comparison"] = None
            rows = terminal_table(results)
            assert len({len(row) for row in rows}) == 1
            assert all(isinstance(cell, str) and cell.isascii() for row in rows for cell in row)


def test_many_sites_leave_mean_and_pooled(make_results):
    header = terminal_table(make_results({f"h{i}": 100 for i in range(MOST_SITES + 1)}, 1))[0]
    assert header == ["test AUROC", "mean", "pooled"]


def test_without_a_comparison_validation_before_and_after_is_shown(results):
    results["comparison"] = None
    rows = terminal_table(results)
    assert [row[0] for row in rows] == ["validation AUROC", "before round 1", "after round 8"]
    assert rows[1][1:] == ["0.520"] * 4 + ["0.530"]
    assert rows[2][-1] == f"{results['rounds'][-1]['validation']['pooled']['auroc']['value']:.3f}"
