from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from client.dashboard.journal_reading import Line
from client.dashboard.leaving import MOST_DAYS, bytes_by_day, page_of, totals, what

LINES = st.lists(
    st.builds(
        lambda day, decision, study, size: Line(
            time=f"{day}T10:00:00+00:00",
            decision=decision,
            study=study,
            run="r",
            round=1,
            kind="train",
            tensors=1,
            size_bytes=0 if decision == "refused" else size,
        ),
        st.dates(min_value=date(2026, 1, 1), max_value=date(2026, 3, 1)),
        st.sampled_from(["released", "repeated", "refused"]),
        st.sampled_from("abc"),
        st.integers(0, 10**6),
    ),
    max_size=40,
).map(lambda lines: sorted(lines, key=lambda line: line.time))


@given(LINES)
def test_totals_and_days_add_up_to_the_lines(lines: list[Line]) -> None:
    size = sum(line.size_bytes for line in lines)
    found = totals(lines)
    assert sum(each.size_bytes for each in found) == size == sum(bytes_by_day(lines).values())
    assert sum(each.released + each.repeated + each.refused for each in found) == len(lines)
    assert {each.study for each in found} == {line.study for line in lines}


@given(LINES, st.integers(1, 7))
def test_the_pages_together_are_the_lines_newest_first(lines: list[Line], size: int) -> None:
    pages = page_of(lines, 1, size=size).pages
    together = [line for number in range(1, pages + 1) for line in page_of(lines, number, size=size).lines]
    assert together == lines[::-1]
    assert page_of(lines, 99, size=size) == page_of(lines, pages, size=size)
    assert page_of(lines, -1, size=size) == page_of(lines, 1, size=size)


def line(time: str, **changes: object) -> Line:
    content = {"decision": "released", "study": "s", "run": "r", "round": 1, "kind": "train", "tensors": 2}
    return Line.model_validate({"time": time, "size_bytes": 5, **content, **changes})


def test_days_without_anything_are_shown_and_old_ones_left_out() -> None:
    assert bytes_by_day([line("2026-02-27T23:59:59+00:00"), line("2026-03-02T00:00:00+00:00")]) == {
        "2026-02-27": 5,
        "2026-02-28": 0,
        "2026-03-01": 0,
        "2026-03-02": 5,
    }
    assert len(bytes_by_day([line("2020-01-01T00:00:00+00:00"), line("2026-03-02T00:00:00+00:00")])) == MOST_DAYS


def test_what_left_is_said_in_words() -> None:
    assert what(line("t", metrics=("validation auroc",), histograms=("validation",))) == (
        "2 tensors, 1 metrics, score summaries of validation",
        "validation auroc",
    )
    assert what(line("t", decision="refused", reason="PAUSED")) == ("PAUSED", "")
    assert what(line("t", kind="preflight", tensors=0))[0] == "whether the study can work here"
