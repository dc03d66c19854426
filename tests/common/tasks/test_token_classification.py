"""Words, tags and pieces; the loss against plain numpy; what becomes of words that are cut off."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from client.row_check import check_rows
from client.rows import read_rows
from common import plugins
from common.errors import DataError, StudyError
from common.study import Study
from common.tasks.token_classification import IGNORED, TokenClassification
from common.workbench import Workbench
from simulations.catalogue import load

TASK = TokenClassification(labels=("O", "B-sign", "I-sign"))
TEXT = "reports breathless fever, zzz"


@pytest.fixture(scope="module")
def reader(open_bench: Callable[..., Workbench]) -> object:
    return open_bench().reader


def encoded(reader: object, max_length: int = 48) -> list[object]:
    labels = TASK.stack([(0, 1, 2, 0), (1,)])
    return list(TASK.encode(reader, [TEXT, "fever"], labels, max_length=max_length))


def test_the_first_piece_of_a_word_bears_its_tag(reader: object) -> None:
    first = encoded(reader)[0]
    pieces = reader.convert_ids_to_tokens(first.input_ids)
    places = first.target.places
    assert [pieces[place] for place in places] == ["reports", "breathless", "fever", "z"]
    assert pieces[-4:-1] == ["z", "##z", "##z"]
    batch = TASK.collate(encoded(reader), pad_id=0)
    targets = batch["targets"][0].tolist()
    assert [targets[place] for place in places] == [0, 1, 2, 0]
    assert sum(target != IGNORED for target in targets) == 4
    assert batch["tags"].tolist() == [[0, 1, 2, 0], [1, -1, -1, -1]]
    assert batch["places"][1].tolist() == [1, -1, -1, -1]


def test_the_loss_is_the_mean_over_words(reader: object) -> None:
    batch = TASK.collate(encoded(reader), pad_id=0)
    logits = torch.from_numpy(np.random.default_rng(0).normal(size=(*batch["targets"].shape, 3)))
    shares = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(axis=-1, keepdims=True)
    words = [(0, p, t) for p, t in zip(batch["places"][0].tolist(), (0, 1, 2, 0), strict=True)] + [(1, 1, 1)]
    each = [-np.log(shares[row, place, tag]) for row, place, tag in words]
    assert float(TASK.loss(logits, batch)) == pytest.approx(np.mean(each))
    assert TASK.scores(logits, batch)[:, 3].tolist() == pytest.approx([np.mean(each[:4]), each[4]])


def test_a_word_that_was_cut_off_is_outside_and_counts_as_missed(reader: object) -> None:
    labels = TASK.stack([(1, 0, 1)])
    examples = TASK.encode(reader, ["fever and cough"], labels, max_length=4)
    batch = TASK.collate(examples, pad_id=0)
    assert batch["places"].tolist() == [[1, 2, -1]]
    logits = torch.zeros(*batch["targets"].shape, 3)
    logits[0, 1, 1] = 5.0
    logits[0, 2, 0] = 5.0
    found = dict(zip(TASK.measure.columns, TASK.scores(logits, batch)[0].tolist(), strict=True))
    assert (found["real sign"], found["named sign"], found["found sign"]) == (2, 1, 1)
    assert (found["words"], found["right_words"]) == (3, 2)


@pytest.mark.parametrize(("text", "value"), [("O B-sign", (0, 1)), ("", None), ("O X", None), ("  I-sign\tO ", (2, 0))])
def test_a_cell_is_tags_parted_by_spaces(text: str, value: tuple[int, ...] | None) -> None:
    assert TASK.read_label(text) == value


def test_groups_are_rows_with_an_entity_of_the_type() -> None:
    labels = TASK.stack([(0, 0), (2,), (1, 2)])
    assert TASK.stack([(0, 0), (1, 1)]).shape == (2,)  # rows of equal length stay tuples
    assert {name: rows.tolist() for name, rows in TASK.groups(labels).items()} == {"sign": [False, True, True]}


@pytest.mark.parametrize("labels", [(), ("O",), ("B-sign", "O"), ("O", "O")])
def test_outside_comes_first(labels: tuple[str, ...]) -> None:
    with pytest.raises(StudyError):
        plugins.build("common.tasks", "token-classification", {"labels": labels}, key="task.kind")


def test_a_row_whose_tags_do_not_fit_its_words_is_named_without_a_word_of_it(tmp_path: Path) -> None:
    study: Study = load("quick-tokens")
    path = tmp_path / "rows.csv"
    path.write_text("patient,note,tags\np1,fever,B-sign\np2,secret words here,O O\np3,a b,O X\n")
    with pytest.raises(DataError, match=r"target 'tags', row 3: found 'O X', expected one tag for each word"):
        read_rows(path, study)
    path.write_text("patient,note,tags\np1,fever,B-sign\np2,secret words here,O O\n")
    with pytest.raises(DataError, match=r"target 'tags', row 2: 2 tags for a text of 3 words") as caught:
        read_rows(path, study)
    assert "secret" not in str(caught.value)
    report = check_rows(path, study)
    (column,) = [column for column in report.columns if column.name == "tags"]
    assert (column.wrong, column.row, column.why) == (1, 2, "2 tags for a text of 3 words")
    assert not report.is_usable
