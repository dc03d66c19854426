"""What is thawed can be given back bit by bit, however often it was thawed."""

import torch
from torch import nn

from common.peft_methods import _own


def test_restoring_undoes_every_thaw() -> None:
    base = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)).requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    _own.thaw(base, ["0.bias"])
    _own.thaw(base, ["1.weight"])
    assert set(_own.trainable(base)) == {"0.bias", "1.weight"}
    with torch.no_grad():
        for parameter in _own.trainable(base).values():
            parameter.add_(1)
    assert not torch.equal(base[1].weight, before["1.weight"])
    _own.restore(base)
    assert all(torch.equal(tensor, before[name]) for name, tensor in base.state_dict().items())
    assert _own.trainable(base) == {}
