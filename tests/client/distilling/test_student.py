"""The student before it learns: what it takes over of the teacher's base model."""

from dataclasses import replace

import pytest
import torch
from transformers import BertModel

from client.distilling.shape import Shape
from client.distilling.student import make_student, shape_of
from common.errors import UserError

IDS = torch.tensor([[2, 10, 11, 3], [2, 12, 0, 0]])


@pytest.fixture
def base(make_random_model) -> BertModel:  # type: ignore[no-untyped-def] # a fixture of the root's conftest
    """A frozen random BERT of 2 layers and 32 units, 60 words."""
    model: BertModel = make_random_model("bert")
    return model


def states(model: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.eval()(input_ids=ids, attention_mask=(ids != 0).long()).last_hidden_state
    return found


def test_a_student_of_the_teacher_s_own_shape_says_the_same(base: BertModel) -> None:
    student = make_student(base, shape_of(base), range(60), pad_id=0, seed=0)
    torch.testing.assert_close(states(student, IDS), states(base, IDS))


def test_words_that_are_left_out_change_nothing_for_the_others(base: BertModel) -> None:
    kept = [0, 2, 3, 10, 11, 12]
    student = make_student(base, replace(shape_of(base), vocabulary=6, positions=8), kept, pad_id=0, seed=0)
    own = IDS.clone().apply_(kept.index)
    torch.testing.assert_close(states(student, own), states(base, IDS))


def test_one_layer_is_the_first_and_its_largest_units_stay(base: BertModel) -> None:
    shape = replace(shape_of(base), layers=1, intermediate=40)
    student = make_student(base, shape, range(60), pad_id=0, seed=0)
    theirs, ours = base.encoder.layer[0], student.get_submodule("encoder.layer.0").state_dict()
    torch.testing.assert_close(ours["attention.self.query.weight"], theirs.attention.self.query.weight.data)
    sizes = theirs.intermediate.dense.weight.norm(dim=1) * theirs.output.dense.weight.norm(dim=0)
    kept = sorted(sorted(range(64), key=lambda unit: -float(sizes[unit]))[:40])
    torch.testing.assert_close(ours["intermediate.dense.weight"], theirs.intermediate.dense.weight.data[kept])
    torch.testing.assert_close(ours["output.dense.weight"], theirs.output.dense.weight.data[:, kept])


def test_a_narrow_student_keeps_the_distances_of_words_as_well_as_can_be(base: BertModel) -> None:
    """No projection to 8 directions leaves a smaller rest than the principal ones (Eckart and Young 1936)."""
    shape = Shape(60, 16, 2, hidden=8, layers=1, heads=1, intermediate=8)
    student = make_student(base, shape, range(60), pad_id=0, seed=0)
    words = base.embeddings.word_embeddings.weight.data.double()
    ours = student.get_parameter("embeddings.word_embeddings.weight").data.double()
    centred = words - words.mean(dim=0)
    rest = (torch.linalg.svdvals(centred)[8:] ** 2).sum()
    kept = ((ours - ours.mean(dim=0)) ** 2).sum()
    torch.testing.assert_close(kept, (centred**2).sum() - rest, rtol=1e-4, atol=1e-6)


def test_the_draw_is_the_seed_s_and_nothing_global_moves(base: BertModel) -> None:
    shape = Shape(60, 16, 2, hidden=8, layers=1, heads=1, intermediate=8)
    before = torch.get_rng_state()
    first, again, other = (make_student(base, shape, range(60), pad_id=0, seed=seed) for seed in (1, 1, 2))
    name = "encoder.layer.0.output.dense.weight"
    assert torch.equal(first.get_parameter(name), again.get_parameter(name))
    assert not torch.equal(first.get_parameter(name), other.get_parameter(name))
    assert torch.equal(torch.get_rng_state(), before)


def test_another_architecture_is_one_line(make_random_model) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match="the base model is 'llama'; choose a study whose base model is a BERT"):
        shape_of(make_random_model("llama"))
