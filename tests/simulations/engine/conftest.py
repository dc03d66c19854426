"""What the tests of the engine share: workbenches in float64, clients, and their training alone and together."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from client.execution import Execution
from client.recipe import Recipe
from client.training import Trained, train
from common.errors import RefusedError
from common.study import Study
from common.tasks import AnyExample, Example
from common.workbench import Workbench, open_workbench
from simulations.catalogue import base_folder, load
from simulations.engine.group import GroupTrained, train_group
from simulations.engine.members import Member
from simulations.engine.replica import replica_of
from simulations.virtual import read_sites

Numbers = dict[str, NDArray[np.float64]]
WORDS = 64
RECIPE = Recipe(learning_rate=2e-3, batch_size=4, epochs=1)
NEAR = 1e-12
UNMOVED = "key.bias"
"""A softmax over keys does not see their bias: its gradient is 0 but for rounding, which AdamW divides by 1e-8."""
NEAR_UNMOVED = 1e-9


@dataclass(frozen=True)
class Outcome:
    """What training led to: every tensor of the state in float64, and what was measured; None where it diverged."""

    numbers: Numbers
    trained: Trained | None


def random_base(kind: str) -> nn.Module:
    """Return a frozen random base model of two blocks, with dropout wherever its kind has some."""
    import transformers as hf

    text: dict[str, Any] = {"vocab_size": WORDS, "pad_token_id": 0, "attn_implementation": "eager"}
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    bert = {**text, **sizes, "max_position_embeddings": 48, "initializer_range": 0.2}
    llama = {**text, **sizes, "attention_dropout": 0.1, "bos_token_id": 1, "eos_token_id": 2}
    distilbert = {**text, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, "max_position_embeddings": 48}
    makers: Mapping[str, Callable[[], Any]] = {
        "bert": lambda: hf.BertModel(hf.BertConfig(**bert), add_pooling_layer=False),
        "roberta": lambda: hf.RobertaModel(hf.RobertaConfig(**bert), add_pooling_layer=False),
        "electra": lambda: hf.ElectraModel(hf.ElectraConfig(**bert, embedding_size=8)),
        "distilbert": lambda: hf.DistilBertModel(hf.DistilBertConfig(**distilbert)),
        "deberta": lambda: hf.DebertaV2Model(
            hf.DebertaV2Config(**bert, relative_attention=True, position_buckets=8, pos_att_type=["p2c", "c2p"])
        ),
        "modernbert": lambda: hf.ModernBertModel(
            hf.ModernBertConfig(**bert, attention_dropout=0.1, mlp_dropout=0.1, local_attention=96)
        ),
        "gpt2": lambda: hf.GPT2Model(hf.GPT2Config(**text, n_embd=16, n_layer=2, n_head=2, n_positions=48)),
        "llama": lambda: hf.LlamaModel(hf.LlamaConfig(**llama, num_key_value_heads=1)),
        "gpt2-lm": lambda: hf.GPT2LMHeadModel(hf.GPT2Config(**text, n_embd=16, n_layer=2, n_head=2, n_positions=48)),
        "vit": lambda: hf.ViTModel(
            hf.ViTConfig(
                **sizes,
                image_size=16,
                patch_size=8,
                hidden_dropout_prob=0.1,
                attention_probs_dropout_prob=0.1,
                attn_implementation="eager",
            ),
            add_pooling_layer=False,
        ),
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: nn.Module = makers[kind]().requires_grad_(False).eval()
    return model


def double(bench: Workbench) -> Workbench:
    """Compute in float64, from a state in which no tensor is zero."""
    bench.model.double()
    bench.head.double()
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in bench.parameters.values():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw, dtype=torch.float64))
    return bench


@pytest.fixture(scope="session")
def open_double(make_study: Callable[..., Study], tiny_model: Path) -> Callable[..., Workbench]:
    """`open_double("section.key=value", ..., kind="bert")`: a workbench of the test's own in float64."""

    def make(*overrides: str, kind: str = "bert") -> Workbench:
        return double(open_workbench(make_study(*overrides), tiny_model, load=lambda *_, **__: random_base(kind)))

    return make


@pytest.fixture(scope="session")
def open_task(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Workbench, list[Sequence[AnyExample]]]]:
    """`open_task("quick-images")`: a float64 workbench of a bundled study with dropout, and rows of its sites."""
    scratch = tmp_path_factory.mktemp("tasks")

    def make(name: str, *overrides: str) -> tuple[Workbench, list[Sequence[AnyExample]]]:
        study = load(name, overrides=overrides)
        bench = double(open_workbench(study, base_folder(study, scratch)))
        for module in bench.model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.1
        sites = [rows for _, rows in sorted(read_sites(study, scratch).items())]
        return bench, [
            bench.task.encode(bench.reader, rows.inputs[:20], rows.labels[:20], max_length=bench.max_length)
            for rows in sites
        ]

    return make


@pytest.fixture(scope="session")
def made_texts() -> Callable[..., list[Example]]:
    """`made_texts(lengths, seed=0)`: rows of random words for a task of two classes."""

    def make(lengths: Sequence[int], *, seed: int = 0) -> list[Example]:
        rng = np.random.default_rng(seed)
        ids = [tuple(rng.integers(1, WORDS, size).tolist()) for size in lengths]
        return [Example(each, int(rng.integers(2))) for each in ids]

    return make


@pytest.fixture(scope="session")
def member_of() -> Callable[..., Member]:
    """`member_of(bench, number, examples, epochs=1, ...)`: a client from a state of its own; rest: of `Recipe`."""

    def make(
        bench: Workbench,
        number: int,
        examples: Sequence[AnyExample],
        *,
        active: Sequence[str] | None = None,
        private: Sequence[str] = (),
        **recipe: Any,
    ) -> Member:
        rng = np.random.default_rng(100 + number)
        state = {n: p.detach().cpu().numpy() + 0.02 * rng.normal(size=p.shape) for n, p in bench.parameters.items()}
        return Member(
            name=f"client-{number}",
            examples=examples,
            recipe=replace(RECIPE, **recipe),
            state=state,
            active=frozenset(bench.parameters if active is None else active),
            rng=np.random.default_rng(number),
            dropout_seed=1000 + number,
            private=private,
        )

    return make


@pytest.fixture(scope="session")
def some_members(made_texts: Callable[..., list[Example]], member_of: Callable[..., Member]) -> Callable[..., Any]:
    """`some_members(bench, **recipe)`: five clients of unequal rows; one has one row, one fewer than a batch."""
    lengths = ([9, 4, 12, 7, 5, 6, 3, 11, 8], [5], [13, 3, 6], [7, 7, 7, 7, 7], [3, 10, 4, 6, 12, 5, 8, 3, 9, 10, 6, 7])

    def make(bench: Workbench, *, clients: int = 5, **recipe: Any) -> list[Member]:
        rows = [made_texts(each, seed=number) for number, each in enumerate(lengths[:clients])]
        return [member_of(bench, number, examples, **recipe) for number, examples in enumerate(rows)]

    return make


def afresh(member: Member) -> Member:
    """Return the client with its stream of batches at the beginning again."""
    return replace(member, rng=np.random.default_rng(int(member.name.rpartition("-")[2])))


@pytest.fixture(scope="session")
def beginning_again() -> Callable[[Member], Member]:
    """`beginning_again(member)`: the client with its stream of batches at the beginning."""
    return afresh


@pytest.fixture(scope="session")
def alone() -> Callable[..., Outcome]:
    """`alone(bench, member)`: what a hospital's training makes of a client."""

    def run(bench: Workbench, member: Member, execution: Execution = Execution()) -> Outcome:  # noqa: B008 # frozen
        bench.write(member.state)
        trained = None
        with suppress(RefusedError):
            trained = train(
                bench,
                member.examples,
                member.recipe,
                active=member.active,
                private=member.private,
                execution=execution,
                rng=afresh(member).rng,
                dropout_seed=member.dropout_seed,
            )
        return Outcome({name: p.detach().cpu().numpy().copy() for name, p in bench.parameters.items()}, trained)

    return run


@pytest.fixture(scope="session")
def together() -> Callable[..., dict[str, Outcome]]:
    """`together(bench, members, packs=True)`: what the engine makes of clients in one group, by name."""

    def run(bench: Workbench, members: Sequence[Member], *, packs: bool, replica: Any = None) -> dict[str, Outcome]:
        last: dict[str, Numbers] = {}

        def keep(name: str) -> Callable[..., None]:
            return lambda step, after: last.update({name: exact(after)})

        told = [replace(afresh(member), after_step=keep(member.name)) for member in members]
        found = train_group(replica or replica_of(bench), told, Execution(), packs=packs)
        for name, numbers in last.items():
            check_single(found[name], numbers)
        return {name: Outcome(numbers, found[name].trained) for name, numbers in last.items()}

    return run


def exact(after: Any) -> Numbers:
    """Return a client's tensors after a step as the group holds them, which `state` rounds to float32."""
    held, found = after.loop.numbers, {}
    for rows, columns in ((held.moving, held.columns.moving), (held.still, held.columns.still)):
        for name, (begin, shape) in columns.items():
            found[name] = rows[after.client, begin : begin + int(np.prod(shape))].reshape(shape).detach().numpy().copy()
    return found


def check_single(found: GroupTrained, numbers: Numbers) -> None:
    """The state that a group gives back is the last step's, in float32."""
    assert found.state.keys() == numbers.keys()
    assert list(found.state) == sorted(numbers)
    for name, array in found.state.items():
        with np.errstate(over="ignore"):  # a client that diverged may be beyond float32
            np.testing.assert_array_equal(array, numbers[name].astype(np.float32))


@pytest.fixture(scope="session")
def check_same(alone: Callable[..., Outcome], together: Callable[..., dict[str, Outcome]]) -> Callable[..., Any]:
    """`check_same(bench, members, packs=True)`: each client of a group ends as it does alone, and has moved."""

    def check(bench: Workbench, members: Sequence[Member], *, packs: bool, near: float = NEAR) -> None:
        expected = {member.name: alone(bench, member) for member in members}
        found = together(bench, members, packs=packs)
        assert found.keys() == expected.keys()
        for member in members:
            check_outcome(found[member.name], expected[member.name], near)
            check_moved(member, expected[member.name].numbers)

    return check


def check_outcome(found: Outcome, expected: Outcome, near: float) -> None:
    assert found.numbers.keys() == expected.numbers.keys()
    for name, array in expected.numbers.items():
        bound = NEAR_UNMOVED if UNMOVED in name else near
        np.testing.assert_allclose(found.numbers[name], array, rtol=near, atol=bound, err_msg=name)
    assert found.trained is not None
    assert expected.trained is not None
    assert found.trained.steps == expected.trained.steps
    # Alone, losses are summed in float32.
    np.testing.assert_allclose(found.trained.loss, expected.trained.loss, rtol=1e-6)
    np.testing.assert_allclose(
        np.float64(found.trained.gradient_norm or 0), expected.trained.gradient_norm or 0, rtol=1e-6
    )


def check_moved(member: Member, numbers: Numbers) -> None:
    """So that equality says something: active tensors moved by far more than they may differ, others not at all."""
    for name, array in numbers.items():
        far = float(np.abs(array - member.state[name]).max())
        if name in member.active:
            assert far > 1e-4 or UNMOVED in name, (name, far)
        else:
            assert far == 0, (name, far)
