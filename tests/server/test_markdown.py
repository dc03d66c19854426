import re

from hypothesis import given
from hypothesis import strategies as st

from server.markdown import code_span, escaped, fenced, markdown_table, paragraph
from server.report.layout import Cell, table


@given(st.text())
def test_escaped_text_is_one_line_and_reads_back(text):
    shown = escaped(text)
    assert "\n" not in shown
    assert re.sub(r"\\(.)", r"\1", shown) == " ".join(text.split())
    assert not re.search(r"(?<!\\)(?:\\\\)*[<>|`\[\]]", shown)


@given(st.text())
def test_a_paragraph_starts_no_heading_list_or_rule(text):
    assert not re.match(r"(#|[-+*=>]|\d+[.)])", paragraph(text))


@given(st.text("`a\n"))
def test_a_fence_is_longer_than_what_it_holds(text):
    first, *inside, last = fenced(text).split("\n")
    assert first == last
    assert not any(line.startswith(first) for line in inside)


@given(st.text("`a b"))
def test_a_code_span_ends_where_it_should(text):
    assert code_span(text).count("`") == 2


@given(st.lists(st.lists(st.text(max_size=8), min_size=2, max_size=2), max_size=4))
def test_every_row_has_as_many_cells_as_the_header(rows):
    text = markdown_table(table("t", ["a", "b"], [[Cell(a), Cell(b, "detail", "note")] for a, b in rows]))
    lines = [line for line in text.split("\n") if line.startswith("|")]
    assert len(lines) == 2 + len(rows)
    assert {len(re.findall(r"(?<!\\)\|", re.sub(r"\\\\", "", line))) for line in lines} == {3}
