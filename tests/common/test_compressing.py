"""A study's compression: its options are checked when the study is, and its tensors when it is prepared."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from common.compressing import check_compresses, compression_of
from common.compression.int8 import Int8
from common.compression.none import Uncompressed
from common.compression.top_k import TopK
from common.errors import StudyError
from common.state import AdapterSchema
from common.study import Study
from common.study_compression import CompressionSection
from simulations.catalogue import load


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ({}, Uncompressed()),
        ({"method": "int8"}, Int8()),
        ({"method": "int8", "scale": "tensor"}, Int8("tensor")),
        ({"method": "top-k", "density": 0.5}, TopK(density=0.5)),
    ],
)
def test_a_section_becomes_what_compresses(content: Mapping[str, Any], wanted: object) -> None:
    assert compression_of(CompressionSection.model_validate(content)) == wanted


@pytest.mark.parametrize(
    ("override", "found"),
    [
        ("compression.method='zip'", "'zip' does not exist; there are: int8, none, top-k"),
        ("compression.density=0.5", "'none' has no option 'density'; it has: none"),
        ("compression={method='top-k', density=0.0}", "option density: .* greater than 0"),
        ("compression={method='top-k', density=1.5}", "option density: .* less than or equal to 1"),
        ("compression={method='top-k', densty=0.5}", "no option 'densty'; it has: density"),
        ("compression={method='int8', scale='column'}", "option scale: .*'row' or 'tensor'"),
    ],
)
def test_a_wrong_section_is_an_error_when_the_study_is_read(override: str, found: str) -> None:
    with pytest.raises(StudyError, match=found):
        load("quick", overrides=[override])


def test_a_tensor_that_cannot_be_compressed_is_an_error_when_the_study_is_prepared() -> None:
    schema = AdapterSchema.of({"n": np.zeros(3, np.int64)})
    check_compresses(CompressionSection(), schema)
    with pytest.raises(StudyError, match=r"'n' is int64, compression\.method = 'int8' is of float32; choose"):
        check_compresses(CompressionSection(method="int8"), schema)


def test_options_are_in_the_digest_of_a_study(make_study: Callable[..., Study]) -> None:
    studies = ["compression.method='none'", "compression.method='int8'", "compression={method='int8',scale='tensor'}"]
    assert len({make_study(each).digest for each in studies}) == 3
    assert make_study(studies[0]).digest == make_study().digest
