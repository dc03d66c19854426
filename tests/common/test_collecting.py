import gc

import pytest

from common.collecting import collecting_later


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_waits_for_the_end_of_the_block_also_if_it_fails(enabled: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        with pytest.raises(ValueError, match="False"), collecting_later():
            raise ValueError(gc.isenabled())
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if before else gc.disable)()
