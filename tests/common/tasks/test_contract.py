"""What every file of common/tasks promises; a new file passes unedited."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from client.execution import Execution
from common import plugins
from common.adapter_folder import write_adapter
from common.bundle import Bundle
from common.tasks import Example
from common.tensor_files import to_safetensors
from common.workbench import Workbench
from server.closing import Outcome
from server.model_card import render_card
from server.outcome_json import outcome_json
from server.state import fresh_state

PACKAGE = "common.tasks"
TEXTS = (
    "fever and cough",
    "rash",
    "seen today with fever and chills and sputum, pulse normal",
    "",
    "sprain and headache, weight better",
)
TARGETS = (1, 0, 1, 0, 0)


@pytest.fixture(params=plugins.available(PACKAGE))
def kind(request: pytest.FixtureRequest) -> str:
    return f"task.kind='{request.param}'"


@pytest.fixture(params=["lora", "prefix"])
def bench(request: pytest.FixtureRequest, kind: str, open_bench: Callable[..., Workbench]) -> Workbench:
    """With virtual tokens and without: positions that are no text must not be read as text."""
    bench = open_bench(kind, f"peft={{method='{request.param}'}}")
    rng = np.random.default_rng(0)
    bench.write({name: rng.normal(0, 0.3, a.shape).astype(np.float32) for name, a in bench.read().items()})
    return bench


def encode(bench: Workbench, *, max_length: int | None = None) -> list[Example]:
    return bench.task.encode(bench.tokenizer, TEXTS, TARGETS, max_length=max_length or bench.max_length)


def logits(bench: Workbench, examples: Sequence[Example], *, pad_id: int = 0) -> np.ndarray:
    bench.model.eval()
    with torch.inference_mode():
        return bench.task.logits(bench.model, bench.head, bench.task.collate(examples, pad_id=pad_id)).numpy()


def test_two_steps_lower_the_loss(bench: Workbench) -> None:
    batch = bench.task.collate(encode(bench), pad_id=0)
    optimizer = torch.optim.SGD(bench.parameters.values(), lr=0.01)
    losses = []
    bench.model.eval()  # without dropout, so that the losses can be compared
    for _ in range(3):
        loss = bench.task.loss(bench.task.logits(bench.model, bench.head, batch), batch)
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[0] > losses[1] > losses[2]


def test_padding_changes_nothing(bench: Workbench) -> None:
    examples = encode(bench)
    together = logits(bench, examples)
    alone = np.concatenate([logits(bench, [example]) for example in examples])
    np.testing.assert_allclose(together, alone, atol=1e-5, rtol=1e-5)
    # What stands in the padding is no matter either.
    np.testing.assert_allclose(logits(bench, examples, pad_id=7), together, atol=1e-5, rtol=1e-5)


def test_the_order_of_rows_is_the_order_of_logits(bench: Workbench) -> None:
    examples = encode(bench)
    order = [3, 0, 4, 1, 2]
    np.testing.assert_allclose(
        logits(bench, [examples[i] for i in order]), logits(bench, examples)[order], atol=1e-5, rtol=1e-5
    )


def test_texts_are_cut_and_no_longer(bench: Workbench) -> None:
    assert max(len(example.input_ids) for example in encode(bench)) > 6
    cut = encode(bench, max_length=6)
    assert max(len(example.input_ids) for example in cut) == 6
    assert [example.target for example in cut] == list(TARGETS)
    assert bench.task.encode(bench.tokenizer, [], [], max_length=6) == []


def test_a_batch_is_as_wide_as_its_longest_row(bench: Workbench) -> None:
    examples = encode(bench)
    batch = bench.task.collate(examples[:2], pad_id=0)
    assert {tensor.shape[0] for tensor in batch.values()} == {2}
    assert batch["input_ids"].shape[1] == max(len(example.input_ids) for example in examples[:2])


def test_probabilities_add_to_one_and_rank_as_the_logits(bench: Workbench) -> None:
    found = torch.from_numpy(logits(bench, encode(bench)))
    probabilities = bench.task.probabilities(found)
    np.testing.assert_allclose(probabilities.sum(dim=1).numpy(), 1, atol=1e-6)
    assert torch.equal(probabilities.argmax(dim=1), found.argmax(dim=1))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_logits_are_float32_in_every_precision(precision: str, bench: Workbench) -> None:
    """bfloat16 has 8 bits of precision: ranking metrics would see ties that are not there."""
    batch = bench.task.collate(encode(bench), pad_id=0)
    with torch.inference_mode(), Execution(precision=precision).autocast():  # type: ignore[arg-type] # a Literal
        found = bench.task.logits(bench.model, bench.head, batch)
    assert found.dtype == torch.float32
    assert not torch.equal(found, found.bfloat16().float())


def test_the_head_comes_from_torch_s_generator(bench: Workbench) -> None:
    def drawn() -> dict[str, torch.Tensor]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            return bench.task.build_head(hidden_size=8, classes=3).state_dict()

    one, other = drawn(), drawn()
    assert all(torch.equal(one[name], other[name]) for name in one)


# peft 0.21 asks transformers 5.23 for an attribute by its old name; nothing of ours can change that.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
@pytest.mark.parametrize("private", [[], ["head.*"], ["head.bias"]])
def test_the_card_s_code_computes_the_task_s_own_probabilities(
    private: list[str],
    bench: Workbench,
    request: pytest.FixtureRequest,
    kind: str,
    make_bundle: Callable[..., Bundle],
    tiny_model: Path,
    tmp_path: Path,
) -> None:
    method = request.node.callspec.params["bench"]
    bundle = make_bundle(kind, f"peft={{method='{method}', private={private}}}")
    state = bench.read()
    shared = {name: state[name] for name in bundle.schema.shared.names}
    start = fresh_state(shared, study=bundle.study.digest, seed=0)
    card = render_card(outcome_json(bundle, Outcome(start, shared, 1, (), None, {}, {})))
    write_adapter(tmp_path / "adapter", bundle, shared, card=card)
    own = {name: state[name] for name in bundle.schema.private.names}
    (tmp_path / "private.safetensors").write_bytes(to_safetensors(own))
    names: dict[str, object] = {}
    exec(_filled((tmp_path / "adapter" / "README.md").read_text(), tiny_model, tmp_path), names)
    bench.model.eval()
    expected = bench.task.probabilities(torch.from_numpy(logits(bench, encode(bench))))
    np.testing.assert_allclose(names["probabilities"], expected, atol=1e-5)


def _filled(card: str, base: Path, folder: Path) -> str:
    """Return the card's code with its paths and texts filled in, as a reader would."""
    (code,) = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    code = code.replace("path/to/base-model", str(base)).replace("path/to/this-folder", str(folder / "adapter"))
    code = code.replace("path/to/private.safetensors", str(folder / "private.safetensors"))
    return re.sub(r"^texts = .*$", f"texts = {list(TEXTS)!r}", code, flags=re.MULTILINE)
