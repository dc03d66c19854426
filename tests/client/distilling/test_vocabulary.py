"""The student's tokenizer cuts training rows as the teacher's does, and spells what they lack."""

from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from client.distilling.vocabulary import kept_ids, write_tokenizer
from common.errors import UserError
from common.models import load_tokenizer

TEXTS = ["67 no fever, mild pain", "age 41 pain; no pain at rest"]


@pytest.fixture
def both(tiny_model: Path, tmp_path: Path) -> tuple[PreTrainedTokenizerFast, PreTrainedTokenizerFast]:
    """The teacher's tokenizer, and the student's of TEXTS."""
    teacher = load_tokenizer(tiny_model)
    kept = kept_ids(teacher, teacher(TEXTS)["input_ids"])
    ids = write_tokenizer(teacher, kept, tmp_path, max_length=48)
    assert sorted(ids.values()) == list(range(len(kept)))
    return teacher, load_tokenizer(tmp_path)


def pieces(tokenizer: PreTrainedTokenizerFast, text: str) -> list[str]:
    return [str(token) for token in tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"])]


@pytest.mark.parametrize("text", TEXTS)
def test_training_rows_are_cut_alike(text: str, both: tuple[PreTrainedTokenizerFast, PreTrainedTokenizerFast]) -> None:
    assert pieces(both[1], text) == pieces(both[0], text)


def test_only_what_is_needed_is_kept(both: tuple[PreTrainedTokenizerFast, PreTrainedTokenizerFast]) -> None:
    teacher, student = both
    words = {token for token in student.get_vocab() if len(token.removeprefix("##")) > 1}
    used = {token for text in TEXTS for token in pieces(teacher, text)}
    assert words - set(student.all_special_tokens) == {
        token for token in used if len(token.removeprefix("##")) > 1
    } - set(student.all_special_tokens)
    assert set(student.all_special_tokens) == set(teacher.all_special_tokens)
    assert (student.pad_token, student.unk_token) == ("[PAD]", "[UNK]")


def test_other_words_are_spelled_and_other_scripts_unknown(
    both: tuple[PreTrainedTokenizerFast, PreTrainedTokenizerFast],
) -> None:
    assert pieces(both[1], "xq 93") == ["[CLS]", "x", "##q", "9", "##3", "[SEP]"]
    assert pieces(both[1], "\u6f22") == ["[CLS]", "[UNK]", "[SEP]"]


def test_another_kind_of_tokenizer_is_refused() -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import BPE

    other = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(BPE()))
    with pytest.raises(UserError, match="this base model's tokenizer is BPE"):
        kept_ids(other, [])
