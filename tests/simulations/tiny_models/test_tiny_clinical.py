from pathlib import Path

from common.models import load_tokenizer
from simulations.builtin_rows import quick_clinical
from simulations.tiny_models import tiny_clinical


def test_every_name_is_one_token(tmp_path: Path) -> None:
    tiny_clinical.write(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    words = [*quick_clinical.given_names(), *quick_clinical.surnames(), "record"]
    assert all(len(ids) == 1 for ids in tokenizer(words, add_special_tokens=False)["input_ids"])
    assert tokenizer.unk_token_id not in tokenizer(quick_clinical.rows()[0]["note"])["input_ids"]
