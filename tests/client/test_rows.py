import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from client.rows import read_inputs, read_rows
from common.errors import DataError
from common.plugins import register_folder
from common.study import Study, replaced

OWN = """
from dataclasses import dataclass
import numpy as np
from client.data import Inputs, Rows

@dataclass(frozen=True)
class Letters:
    def read(self, path, *, section, task):
        words = path.read_text().split()
        labels = np.array([task.labels.index("yes")] * len(words))
        return Rows(words, labels, words, {section.template: words}, {})

    def read_inputs(self, path, *, section):
        return Inputs([section.template], {})

build = Letters
"""


@pytest.fixture
def letters(tmp_path: Path) -> Iterator[str]:
    """A source of our own, known for one test."""
    (tmp_path / "letters_of_ours.py").write_text(OWN)
    register_folder("client.data", tmp_path)
    yield "letters-of-ours"
    del sys.modules["client.data.letters_of_ours"]


def test_the_source_that_the_study_names_reads_by_the_study_s_section_and_task(
    letters: str, make_study: Callable[..., Study], tmp_path: Path
) -> None:
    study = replaced(make_study(), {"data.kind": letters, "data.template": "{note}", "task.labels": ("no", "yes")})
    path = tmp_path / "x.txt"
    path.write_text("a b c")
    rows = read_rows(path, study)
    assert (rows.inputs, rows.labels.tolist(), rows.features) == (
        ["a", "b", "c"],
        [1, 1, 1],
        {"{note}": ["a", "b", "c"]},
    )
    assert read_inputs(path, study).inputs == ["{note}"]


def test_a_table_s_mistake_names_the_file_and_the_row(make_study: Callable[..., Study], tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("site,patient,age,note,outcome\na,1,50,x,maybe\n")
    with pytest.raises(DataError, match=r"^data file 'mine\.csv', target 'outcome', row 1: found 'maybe'"):
        read_rows(path, make_study())
    path.write_text("age,note\nold,x\n")
    with pytest.raises(DataError, match=r"^data file 'mine\.csv', column 'age', row 1"):
        read_inputs(path, make_study())
