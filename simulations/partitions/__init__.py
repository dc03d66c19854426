"""How rows without a site column go to virtual sites: one file is one way.

A partition module has `build`, a frozen dataclass with
`assign(labels: NDArray[int64], patients: Sequence[str], *, sites: int, rng: Generator) -> NDArray[int64]`, each row's
site index. All rows of a patient go to one site, and every site gets a patient.
"""
