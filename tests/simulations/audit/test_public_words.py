from collections.abc import Callable
from pathlib import Path

from common.study import Study
from common.workbench import Workbench, open_workbench
from simulations.audit.public_words import public_tokens, public_words
from simulations.catalogue import base_folder, load

EVERYTHING = """data={template='seen {age} then {sex} {note}', patient_id='patient', columns={
age={type='number', cut_points=[60], words=['young', 'old'], phrase='aged {value}'},
sex={type='category', mapping={0='woman', 1='man'}, phrase='{name} {value}'}, note='text'}}"""


def test_they_are_template_phrases_and_words_and_no_value(make_study: Callable[..., Study]) -> None:
    found = " ".join(public_words(make_study(EVERYTHING.replace("\n", "")))).split()
    assert sorted(found) == ["aged", "man", "old", "seen", "sex", "then", "woman", "young"]


def test_their_tokens_are_those_that_a_text_has(
    make_study: Callable[..., Study], open_bench: Callable[..., Workbench]
) -> None:
    bench, study = open_bench(), make_study("data.template='fever {age} {note}'")
    found = set(public_tokens(study, bench).tolist())
    assert set(bench.reader("fever age", add_special_tokens=False)["input_ids"]) <= found
    assert not set(bench.reader("cough", add_special_tokens=False)["input_ids"]) & found


def test_a_decoder_s_separator_is_one(tmp_path: Path) -> None:
    study = load("quick-causal-lm")
    bench = open_workbench(study, base_folder(study, tmp_path))
    assert bench.reader.convert_tokens_to_ids("=>") in public_tokens(study, bench)
