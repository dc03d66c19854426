import numpy as np

from simulations.partitions.quantity import Quantity


def largest_share(alpha: float) -> float:
    patients = [f"p{i}" for i in range(300)]
    shares = [
        np.bincount(
            Quantity(alpha).assign(np.zeros(300, np.int64), patients, sites=3, rng=np.random.default_rng(s))
        ).max()
        for s in range(200)
    ]
    return float(np.mean(shares)) / 300


def test_the_largest_of_three_sites_is_as_large_as_the_distribution_says() -> None:
    # Dir(1, 1, 1) is uniform on the simplex: the largest of n parts is (1 + 1/2 + ... + 1/n) / n = 11/18 on average.
    # Standard error over 200 draws: about 0.15 / sqrt(200) = 0.011.
    assert abs(largest_share(1.0) - 11 / 18) < 0.05
    # Large alpha: equal shares, up to the multinomial's sqrt(300 * 2/9) = 8 rows.
    assert largest_share(1e6) < 1 / 3 + 0.05
    # Small alpha: one site has all but the patient set aside for each of the others.
    assert largest_share(1e-3) > 0.97
