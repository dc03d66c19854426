import runpy
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def make_results():
    """The function that makes results: `make_results(sites, rounds)`, a fresh copy each time."""
    return runpy.run_path(str(Path(__file__).parent / "example.py"))["results"]


@pytest.fixture
def results(make_results):
    return make_results()


@pytest.fixture
def evidence_results(make_results):
    """Results with everything that is told at the end."""
    add = runpy.run_path(str(Path(__file__).parent / "example.py"))["with_evidence"]
    return add(make_results())
