import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simulations.partitions.iid import Iid


@given(st.integers(1, 80), st.data())
def test_sites_differ_in_size_by_one_patient_at_most(count: int, data: st.DataObject) -> None:
    sites = data.draw(st.integers(1, count))
    site = Iid().assign(
        np.zeros(count, dtype=np.int64), [f"p{i}" for i in range(count)], sites=sites, rng=np.random.default_rng(0)
    )
    sizes = np.bincount(site)
    assert sizes.max() - sizes.min() <= 1
