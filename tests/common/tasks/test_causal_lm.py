"""Completions after prompts, against transformers' plain logits and a greedy loop by hand, for every method."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM

from client.batches import take
from client.execution import Execution
from client.recipe import Recipe
from client.rows import read_rows
from client.scoring import predicted_rows, score
from client.training import train
from common import plugins
from common.errors import ModelError, StudyError
from common.metrics.completions import perplexity
from common.models import load_base
from common.preparation import prepare
from common.study import Study
from common.tasks import Example
from common.tasks._completion import IGNORED, token_scores
from common.tasks.causal_lm import CausalLm
from common.workbench import Workbench, open_workbench
from simulations.catalogue import base_folder, load, rows_path

METHODS = [name for name in plugins.available("common.peft_methods") if name not in ("head", "bitfit")]
"""Llama has no biases, and this task no head."""
TEXTS = ("age 70 reports fever", "seen today with rash and chills and itching", "cough")
ANSWERS = ("infection likely", "no infection, send home with advice", "no infection")
Open = Callable[..., Workbench]


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("decoders")


def study_of(*overrides: str) -> Study:
    return load("quick-causal-lm", overrides=["training.precision=fp32", *overrides])


@pytest.fixture
def open_decoder(scratch: Path) -> Open:
    """A workbench whose trainable tensors are of another run: none is zero or as it was drawn."""

    def make(method: str = "lora", *overrides: str) -> Workbench:
        study = study_of(f"peft={{method='{method}'}}", *overrides)
        bench = open_workbench(study, base_folder(study, scratch))
        rng = np.random.default_rng(0)
        moved = {n: a + rng.normal(0, 0.2, a.shape).astype(np.float32) for n, a in bench.read().items()}
        bench.write(moved)
        bench.model.eval()
        return bench

    return make


def encode(bench: Workbench, answers: Sequence[str] | None = ANSWERS, **options: Any) -> list[Example]:
    labels = None if answers is None else bench.task.stack(answers)
    found = bench.task.encode(bench.reader, TEXTS, labels, **{"max_length": bench.max_length, **options})
    return list(found)


def last_logits(bench: Workbench, ids: Sequence[int], places: int) -> torch.Tensor:
    """Return what the model says at the last places of one row, with nothing of ours in between."""
    given = torch.tensor([list(ids)])
    with torch.inference_mode():
        found: torch.Tensor = bench.model(input_ids=given, attention_mask=torch.ones_like(given)).logits[0, -places:]
    return found


@pytest.mark.parametrize("method", METHODS)
def test_scores_are_those_of_each_row_alone(method: str, open_decoder: Open) -> None:
    """By hand: the model's own logits one place earlier, in float64, over the tokens of the completion."""
    bench = open_decoder(method)
    examples = encode(bench)
    found = score(bench, examples, execution=Execution())
    for row, example in zip(found, examples, strict=True):
        true = torch.tensor(example.input_ids[-example.target :])
        logits = last_logits(bench, example.input_ids, example.target + 1)[:-1].double()
        nll = functional.cross_entropy(logits, true, reduction="sum").item()
        right = int((logits.argmax(-1) == true).sum())
        expected = [1, len(true), nll, right, right == len(true), nll / len(true)]
        np.testing.assert_allclose(row, expected, rtol=1e-4)
    batch = bench.task.collate(examples, pad_id=0)
    loss = bench.task.loss(bench.task.logits(bench.model, bench.head, batch), batch)
    assert float(loss.detach()) == pytest.approx(found[:, 2].sum() / found[:, 1].sum(), rel=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_written_is_the_likeliest_token_again_and_again(method: str, open_decoder: Open) -> None:
    bench = open_decoder(method, "task.max_new_tokens=7")
    examples = encode(bench, None)
    assert {example.target for example in examples} == {0}
    written = [row["prediction"] for row in predicted_rows(bench, examples, execution=Execution())]
    assert written == [by_hand(bench, example.input_ids, 7) for example in examples]
    assert any(written)


def by_hand(bench: Workbench, prompt: Sequence[int], steps: int) -> str:
    ids, end = list(prompt), bench.reader.eos_token_id
    for _ in range(steps):
        ids.append(int(last_logits(bench, ids, 1).argmax()))
        if ids[-1] == end:
            break
    return str(bench.reader.decode(ids[len(prompt) :], skip_special_tokens=True)).strip()


@pytest.mark.parametrize("method", METHODS)
def test_training_lowers_the_loss_and_leaves_the_model_able_to_write(method: str, open_decoder: Open) -> None:
    bench = open_decoder(method)
    examples = encode(bench)
    before = perplexity(score(bench, examples, execution=Execution()).sum(axis=0))
    recipe = Recipe(learning_rate=0.01, batch_size=3, steps=8)
    rng = np.random.default_rng(0)
    train(bench, examples, recipe, active=bench.parameters, execution=Execution(), rng=rng, dropout_seed=0)
    assert perplexity(score(bench, examples, execution=Execution()).sum(axis=0)) < before
    assert len(predicted_rows(bench, encode(bench, None), execution=Execution())) == len(TEXTS)


def test_frozen_layers_that_are_stepped_over_change_no_score(open_decoder: Open) -> None:
    found = []
    for frozen_dropout in ("true", "false"):
        bench = open_decoder("last-layers", f"training.frozen_dropout={frozen_dropout}", "peft.layers=1")
        found.append(score(bench, encode(bench), execution=Execution()))
        assert bool(bench.kept.states) == (frozen_dropout == "false")
        assert len(predicted_rows(bench, encode(bench, None), execution=Execution())) == len(TEXTS)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_output_layer_sees_completions_only_and_works_in_float32(precision: Any, open_decoder: Open) -> None:
    bench = open_decoder()
    batch = bench.task.collate(encode(bench), pad_id=0)
    layer = bench.model.get_output_embeddings()  # type: ignore[operator] # transformers' own
    sizes: list[tuple[torch.Size, torch.dtype]] = []
    weight, linear = layer.weight, functional.linear

    class Spy(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            if func is linear and args[1] is weight:
                sizes.append((result.shape, result.dtype))
            return result

    with torch.inference_mode(), Execution(precision=precision).autocast(), Spy():
        token_scores(bench.model, batch)
    tokens = int((batch["targets"] != IGNORED).sum())
    assert sizes == [(torch.Size([tokens, layer.out_features]), torch.float32)]
    assert "forward" not in vars(layer)


def test_prompts_have_no_targets_and_completions_end(open_decoder: Open) -> None:
    bench = open_decoder()
    examples = encode(bench)
    end, start = bench.reader.eos_token_id, bench.reader.bos_token_id
    for example, text, answer in zip(examples, TEXTS, ANSWERS, strict=True):
        prompt, completion = example.input_ids[: -example.target], example.input_ids[-example.target :]
        assert without_spaces(bench.reader.decode(prompt)) == without_spaces(f"<s> {text} =>")
        assert without_spaces(bench.reader.decode(completion)) == without_spaces(f"{answer} </s>")
        assert (prompt.count(start), completion[-1]) == (1, end)
    targets = bench.task.collate(examples, pad_id=0)["targets"]
    assert [int((row != IGNORED).sum()) for row in targets] == [example.target for example in examples]


def without_spaces(text: str) -> str:
    return text.replace(" ", "")


def test_what_the_prompt_says_is_not_learned(open_decoder: Open) -> None:
    """A batch of prompts alone has no loss, and moves nothing."""
    bench = open_decoder()
    batch = bench.task.collate([Example(e.input_ids, 0) for e in encode(bench)], pad_id=0)
    loss = bench.task.loss(bench.task.logits(bench.model, bench.head, batch), batch)
    assert float(loss.detach()) == 0
    loss.backward()
    assert not any(p.grad is not None and p.grad.any() for p in bench.parameters.values())


def test_a_long_prompt_leaves_room_to_write(open_decoder: Open) -> None:
    """The model has 128 positions: a prompt of as many gives up what the writing needs, from its beginning."""
    bench = open_decoder("prefix", "task.max_length=128", "task.max_new_tokens=8")
    room = 128 - bench.method.virtual_tokens
    words = [f"fever {'and cough ' * 80}rash", "and cough " * 80 + "rash"]
    long = bench.task.encode(bench.reader, words, None, max_length=bench.max_length)
    assert {example.length for example in long} == {room}
    texts = [row["prediction"] for row in predicted_rows(bench, long, execution=Execution())]
    start = long[0].input_ids[:1]
    assert texts[0] == texts[1] == by_hand(bench, (*start, *long[0].input_ids[-(room - 8 - 1) :]), 8)


def test_writing_takes_at_most_half_of_the_room(open_decoder: Open) -> None:
    bench = open_decoder("lora", "task.max_length=128", "task.max_new_tokens=500")
    (long,) = bench.task.encode(bench.reader, ["fever " * 200 + "and rash"], None, max_length=128)
    (row,) = predicted_rows(bench, [long], execution=Execution())
    assert row["prediction"] == by_hand(bench, (*long.input_ids[:1], *long.input_ids[-63:]), 64)


def test_sampling_settings_of_a_folder_change_nothing(scratch: Path, tmp_path: Path) -> None:
    folder = base_folder(study_of(), scratch)
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "generation_config.json").write_text(
        '{"repetition_penalty": 9.0, "min_new_tokens": 5, "eos_token_id": 7}'
    )
    assert load_base(tmp_path, architecture="causal-lm").generation_config.repetition_penalty is None  # type: ignore[union-attr]


def test_a_tokenizer_without_an_end_is_refused(scratch: Path, tmp_path: Path) -> None:
    folder = base_folder(study_of(), scratch)
    for path in folder.iterdir():
        text = path.read_bytes().replace(b'"eos_token": "</s>"', b'"other": "</s>"')
        (tmp_path / path.name).write_bytes(text)
    with pytest.raises(ModelError, match="no end-of-text token"):
        CausalLm().open_reader(tmp_path)


def test_a_method_that_trains_the_head_alone_trains_nothing(scratch: Path, tmp_path: Path) -> None:
    study = study_of("peft={method='head'}")
    with pytest.raises(StudyError, match="causal-lm has none") as found:
        prepare(study, base_folder(study, scratch), tmp_path)
    assert "\n" not in str(found.value)


def test_tied_weights_are_counted_once_and_trained_once(scratch: Path, tmp_path: Path) -> None:
    """Embedding and output layer are one tensor of (words, 32)."""
    study = study_of("peft={method='full'}")
    base = base_folder(study, scratch)
    bundle = prepare(study, base, tmp_path)
    model = AutoModelForCausalLM.from_pretrained(base)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    whole = sum(p.numel() for p in model.parameters())
    trained = sum(int(np.prod(tensor.shape)) for tensor in bundle.schema.tensors)
    assert (trained, bundle.base_model.parameters) == (whole, 0)
    assert not [name for name in bundle.schema.names if "lm_head" in name or name.startswith("head.")]
    lora = prepare(study_of(), base, tmp_path / "lora")
    assert lora.base_model.parameters == whole


def test_labels_are_any_text_but_none(scratch: Path) -> None:
    task = CausalLm()
    assert [task.read_label(text) for text in (" yes ", "", "?", "none")] == ["yes", None, None, "none"]
    rows = read_rows(rows_path(study_of(), scratch), study_of())
    assert task.stack(["a", "bc"]).tolist() == ["a", "bc"]
    assert task.groups(rows.labels) == {}


@pytest.mark.parametrize("seed", [0, 1])
def test_rows_of_one_batch_do_not_see_each_other(seed: int, open_decoder: Open) -> None:
    bench = open_decoder()
    examples = encode(bench)
    order = np.random.default_rng(seed).permutation(len(examples))
    one, other = (
        score(bench, examples, execution=Execution()),
        score(bench, take(examples, order), execution=Execution()),
    )
    np.testing.assert_allclose(one[order], other, rtol=1e-5)
