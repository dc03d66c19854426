"""What every file of common/tasks promises, on the rows of its bundled `quick` study; a new file passes unedited."""

import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from client.batches import take
from client.data import Rows
from client.execution import Execution
from client.rows import read_rows
from client.scoring import predicted_rows, score
from common import plugins
from common.adapter_folder import write_adapter
from common.labels import rarest
from common.metrics.classes import ClassMeasure
from common.metrics.measure import names_of
from common.metrics.types import ScoreHistogram
from common.preparation import prepare
from common.study import Study
from common.study_task import metric_names, task_of
from common.tensor_files import to_safetensors
from common.workbench import Workbench, open_workbench
from server.closing import Outcome
from server.model_card import render_card
from server.outcome_json import outcome_json
from server.state import fresh_state
from simulations.catalogue import base_folder, bundled, load, rows_path

KINDS = plugins.available("common.tasks")
QUICK = [name for name in bundled() if name.startswith("quick")]
METHODS = {"image": ("lora", "head"), "encoder": ("lora", "prefix"), "causal-lm": ("lora", "prefix")}
"""With virtual tokens and without: positions that are no text must not be read as text."""
CASES = [(name, method) for name in QUICK for method in METHODS[task_of(load(name).task).architecture]]
CLASSIFIERS = [(n, m) for n, m in CASES if m != "head" and isinstance(task_of(load(n).task).measure, ClassMeasure)]
"""Whose adapters plain peft loads, so that their cards have code."""
ROWS = 7


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("generated")


def study_of(name: str, method: str, *overrides: str) -> Study:
    own = load(name).peft
    peft = [] if own.method == method else [f"peft={{method='{method}'}}"]
    return load(name, overrides=["training.precision=fp32", *peft, *overrides])


@pytest.fixture(params=CASES, ids="-".join, scope="module")
def study(request: pytest.FixtureRequest) -> Study:
    return study_of(*request.param)


@pytest.fixture(scope="module")
def read_all(scratch: Path) -> Callable[[str], Rows]:
    """`read_all("quick")`: all rows of a bundled study, generated once."""

    @cache
    def read(name: str) -> Rows:
        return read_rows(rows_path(load(name), scratch), load(name))

    return read


@pytest.fixture
def rows(study: Study, read_all: Callable[[str], Rows]) -> Rows:
    """Some rows of unlike groups."""
    found = read_all(study.name)
    groups = task_of(study.task).groups(found.labels)
    first = [int(np.flatnonzero(group)[0]) for group in groups.values() if group.any()]
    return found.take(np.array(list(dict.fromkeys([*first, *range(3 * ROWS)]))[:ROWS]))


@pytest.fixture(scope="module")
def opened(study: Study, scratch: Path) -> Workbench:
    return open_workbench(study, base_folder(study, scratch))


@pytest.fixture
def bench(opened: Workbench) -> Workbench:
    """One workbench for all tests of a case, each of which finds the same random adapter in it."""
    opened.model.eval()
    opened.head.eval()
    opened.write(random_state(opened))
    return opened


def random_state(bench: Workbench) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.normal(0, 0.3, a.shape).astype(np.float32) for name, a in bench.read().items()}


def encode(bench: Workbench, rows: Rows, **options: Any) -> Sequence[Any]:
    return bench.task.encode(bench.reader, rows.inputs, rows.labels, **{"max_length": bench.max_length, **options})


def scores(bench: Workbench, examples: Sequence[Any], *, pad_id: int = 0) -> np.ndarray:
    bench.model.eval()
    bench.head.eval()
    batch = bench.task.collate(examples, pad_id=pad_id)
    with torch.inference_mode():
        return bench.task.scores(bench.task.logits(bench.model, bench.head, batch), batch).numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_has_a_bundled_study_to_try_it_and_names_its_metrics(kind: str) -> None:
    task = next(task_of(study.task) for study in map(load, QUICK) if study.task.kind == kind)
    names, infos = names_of(task.measure), plugins.load("common.tasks", kind, key="task.kind").INFOS
    assert names == tuple(info.name for info in infos)
    assert len(set(names)) == len(names)
    assert set(names) <= set(metric_names())
    assert {*task.measure.choosing, task.measure.tuning} <= set(names)
    assert not next(info for info in infos if info.name == task.measure.tuning).higher_is_better
    assert plugins.load("common.tasks", kind, key="task.kind").usage.pipeline_tag


def test_two_steps_lower_the_loss(bench: Workbench, rows: Rows) -> None:
    batch = bench.task.collate(encode(bench, rows), pad_id=0)
    optimizer = torch.optim.SGD(bench.parameters.values(), lr=1e-3)
    losses = []
    bench.model.eval()  # without dropout, so that the losses can be compared
    for _ in range(3):
        loss = bench.task.loss(bench.task.logits(bench.model, bench.head, batch), batch)
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(bench.parameters.values(), 1.0)  # random adapters make steep losses
        optimizer.step()
    assert losses[0] > losses[1] > losses[2]


def test_the_loss_of_a_batch_does_not_depend_on_padding(bench: Workbench, rows: Rows) -> None:
    bench.model.eval()
    examples = encode(bench, rows)
    with torch.inference_mode():
        found = []
        for pad_id in (0, 7):
            batch = bench.task.collate(examples, pad_id=pad_id)
            found.append(float(bench.task.loss(bench.task.logits(bench.model, bench.head, batch), batch)))
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_padding_changes_nothing(bench: Workbench, rows: Rows) -> None:
    examples = encode(bench, rows)
    together = scores(bench, examples)
    assert together.shape == (len(rows), bench.task.measure.width)
    assert together.dtype == np.float64
    assert np.isfinite(together).all()
    alone = np.concatenate([scores(bench, [example]) for example in examples])
    np.testing.assert_allclose(together, alone, atol=1e-5, rtol=1e-4)
    np.testing.assert_allclose(scores(bench, examples, pad_id=7), together, atol=1e-5, rtol=1e-4)


def test_the_order_of_rows_is_the_order_of_scores(bench: Workbench, rows: Rows) -> None:
    examples = encode(bench, rows)
    order = np.random.default_rng(1).permutation(len(rows))
    found = score(bench, take(examples, order), execution=Execution())
    np.testing.assert_allclose(found, scores(bench, examples)[order], atol=1e-5, rtol=1e-4)


def test_inputs_are_cut_and_no_longer(bench: Workbench, rows: Rows) -> None:
    if bench.task.architecture != "image":
        assert max(example.length for example in encode(bench, rows)) > 6
        assert max(example.length for example in encode(bench, rows, max_length=6)) == 6
    assert list(bench.task.encode(bench.reader, [], rows.labels[:0], max_length=6)) == []


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_logits_are_float32_in_every_precision(precision: str, bench: Workbench, rows: Rows) -> None:
    """bfloat16 has 8 bits of precision: ranking metrics would see ties that are not there."""
    batch = bench.task.collate(encode(bench, rows), pad_id=0)
    with torch.inference_mode(), Execution(precision=precision).autocast():  # type: ignore[arg-type] # a Literal
        found = bench.task.logits(bench.model, bench.head, batch)
    assert found.dtype == torch.float32
    if list(bench.head.parameters()):
        assert not torch.equal(found, found.bfloat16().float())


def test_the_head_comes_from_torch_s_generator(bench: Workbench) -> None:
    def drawn() -> dict[str, torch.Tensor]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            return bench.task.build_head(hidden_size=8).state_dict()

    one, other = drawn(), drawn()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_measure_finds_every_metric_and_sites_add_up(bench: Workbench, rows: Rows) -> None:
    """Halves of the rows, pooled from what they would release, are the rows."""
    measure, found = bench.task.measure, scores(bench, encode(bench, rows))
    rng = np.random.default_rng(0)
    whole = measure.evaluate(found, rows.labels, rows.patients, resamples=0, rng=rng)
    assert tuple(whole.metrics) == names_of(measure)
    sites = {}
    for site, index in {"a": np.arange(0, ROWS, 2), "b": np.arange(1, ROWS, 2)}.items():
        part = (found[index], rows.labels[index], [rows.patients[i] for i in index])
        summary = measure.summary(*part)
        assert summary is not None
        read = measure.read_summary(summary.to_json())
        assert (read.n, read.to_json()) == (len(index), summary.to_json())
        sites[site] = (measure.evaluate(*part, resamples=0, rng=rng), read)
    pooled = measure.pool(sites, resamples=0, rng=rng)
    assert tuple(pooled) == names_of(measure)
    for name, metric in pooled.items():
        expected = whole.metrics[name].value
        if metric.value is not None and expected is not None:
            assert metric.value == pytest.approx(expected, rel=1e-9, abs=(metric.error or 0) + 1e-12)
        elif not isinstance(sites["a"][1], ScoreHistogram):
            assert (metric.value, metric.reason) == (expected, whole.metrics[name].reason)


def test_metrics_lie_within_their_bounds_and_better_is_where_it_says(bench: Workbench, rows: Rows) -> None:
    measure = bench.task.measure
    found = measure.evaluate(
        scores(bench, encode(bench, rows)), rows.labels, rows.patients, resamples=0, rng=np.random.default_rng(0)
    )
    for info in measure.infos:
        value = found.metrics[info.name].value
        assert value is None or info.low <= value <= info.high
        assert info.label
        assert info.meaning.endswith(".")


def test_groups_are_of_all_rows_and_their_patients_are_counted(bench: Workbench, rows: Rows) -> None:
    groups = bench.task.groups(rows.labels)
    assert all(group.shape == (len(rows),) and group.dtype == bool for group in groups.values())
    alike = rows.take(np.zeros(4, dtype=np.int64))
    assert rarest(bench.task, alike.labels, ["one"] * 4) <= 1
    assert rarest(bench.task, rows.labels[:0], []) == 0


def test_a_diverged_model_has_no_metrics_and_nothing_to_release(bench: Workbench, rows: Rows) -> None:
    found = np.full((len(rows), bench.task.measure.width), np.nan)
    measured = bench.task.measure.evaluate(found, rows.labels, rows.patients, resamples=0, rng=np.random.default_rng(0))
    assert {metric.value for metric in measured.metrics.values()} == {None}
    assert bench.task.measure.summary(found, rows.labels, rows.patients) is None


def test_predictions_need_no_labels_and_have_the_same_columns(bench: Workbench, rows: Rows) -> None:
    examples = bench.task.encode(bench.reader, rows.inputs, None, max_length=bench.max_length)
    found = predicted_rows(bench, examples, execution=Execution())
    assert len(found) == len(rows)
    assert {tuple(row) for row in found} == {tuple(found[0])}
    assert "prediction" in found[0]
    one = predicted_rows(bench, examples[2:3], execution=Execution())
    first, same = one[0]["prediction"], found[2]["prediction"]
    assert first == (pytest.approx(same, rel=1e-5) if isinstance(same, float) else same)


# peft 0.21 asks transformers 5.23 for an attribute by its old name; nothing of ours can change that.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
@pytest.mark.parametrize("private", [[], ["head.*"], ["head.bias"]])
@pytest.mark.parametrize(("name", "method"), CLASSIFIERS)
def test_the_card_s_code_computes_the_task_s_own_probabilities(
    name: str, method: str, private: list[str], read_all: Callable[[str], Rows], scratch: Path, tmp_path: Path
) -> None:
    study = study_of(name, method, f"peft.private={private}")
    base, rows = base_folder(study, scratch), read_all(study.name).take(np.arange(ROWS))
    bundle, bench = prepare(study, base, tmp_path / "bundle"), open_workbench(study, base)
    state = random_state(bench)
    bench.write(state)
    shared = {name: state[name] for name in bundle.schema.shared.names}
    start = fresh_state(shared, study=bundle.study.digest, seed=0)
    card = render_card(outcome_json(bundle, Outcome(start, shared, 1, (), None, {}, {})))
    write_adapter(tmp_path / "adapter", bundle, shared, card=card)
    own = {name: state[name] for name in bundle.schema.private.names}
    (tmp_path / "private.safetensors").write_bytes(to_safetensors(own))
    names: dict[str, object] = {}
    exec(_filled((tmp_path / "adapter" / "README.md").read_text(), base, tmp_path, rows.inputs), names)
    np.testing.assert_allclose(names["probabilities"], scores(bench, encode(bench, rows)), atol=1e-5)


def _filled(card: str, base: Path, folder: Path, inputs: Sequence[str]) -> str:
    """Return the card's code with its paths and inputs filled in, as a reader would."""
    (code,) = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    code = code.replace("path/to/base-model", str(base)).replace("path/to/this-folder", str(folder / "adapter"))
    code = code.replace("path/to/private.safetensors", str(folder / "private.safetensors"))
    return re.sub(r"^(texts|images) = .*$", lambda found: f"{found[1]} = {list(inputs)!r}", code, flags=re.MULTILINE)
