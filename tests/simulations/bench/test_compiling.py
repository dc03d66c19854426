"""What torch.compile is measured by; the compiler itself is not run, it takes minutes."""

from typing import Any

import pytest
import torch
from torch import nn

from client.execution import limited_threads
from simulations.bench.compiling import measure_compiling
from simulations.bench.pairs import pays_after


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # of inductor, when it is imported
def test_one_of_two_models_is_compiled_block_by_block_for_any_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[tuple[nn.Module, dict[str, Any]]] = []
    really = nn.Module.compile

    def noted(block: nn.Module, **options: Any) -> None:
        compiled.append((block, options))
        really(block, **options)

    monkeypatch.setattr(nn.Module, "compile", noted)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    with limited_threads(1), torch.compiler.set_stance("force_eager"):  # the loop sets threads for good
        found = measure_compiling(turns=2, study_name="quick")
    assert len({id(block) for block, _ in compiled}) == len(compiled) == 2  # the blocks of quick's model
    assert all(options == {"dynamic": True} for _, options in compiled)
    assert found["compile_compiled_over_plain"] > 0
    once, gained = found["compile_seconds"], found["compile_gain_seconds_per_round"]
    assert found["compile_pays_after_rounds"] == pays_after(once, before=gained, after=0.0)
