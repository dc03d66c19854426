import numpy as np

from common.compression.none import Uncompressed
from common.state import AdapterSchema


def test_it_is_the_identity() -> None:
    update, error = {"a": np.float32([1, np.nan])}, {"a": np.ones(2)}
    asked = AdapterSchema.of(update)
    payload, left = Uncompressed().compress(update, error, np.random.default_rng(0))
    assert payload["a"] is update["a"]
    assert left == error
    assert Uncompressed().wire_schema(asked) is asked
    assert Uncompressed().decompress(payload, asked)["a"] is update["a"]
