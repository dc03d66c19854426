from simulations.bench.eight_bits import eight_bits_figures, measure_eight_bits


def test_three_precisions_are_measured_on_the_same_rows() -> None:
    found = {each.name: each for each in measure_eight_bits("quick", epochs=1, passes=1)}
    assert list(found) == ["fp32", "bf16", "int8"]
    assert found["int8"].size_bytes < found["fp32"].size_bytes / 2
    assert abs(found["int8"].value - found["fp32"].value) < 0.1
    assert min(each.rows_per_s for each in found.values()) > 0
    figures = [figure for part in eight_bits_figures(lambda _: list(found.values())) for figure in part]
    assert figures[:3] == ["fp32_megabytes", "fp32_rows_per_s", "fp32_auroc"]
