"""What a study's compression makes of the tensors that a reply was asked for: at the gate, on the wire, on arrival."""

from typing import Final

from common import plugins
from common.compression import Compression
from common.errors import SchemaError, StudyError
from common.state import AdapterSchema, AdapterState, Array
from common.study_compression import CompressionSection

PACKAGE: Final = "common.compression"
KEY: Final = "compression.method"


def compression_of(section: CompressionSection) -> Compression:
    """Return the compression of a study. Raises StudyError."""
    built: Compression = plugins.build(PACKAGE, section.method, section.options, key=KEY)
    return built


def check_compresses(section: CompressionSection, shared: AdapterSchema) -> None:
    """Raise StudyError where the compression is not of such tensors."""
    try:
        compression_of(section).wire_schema(shared)
    except SchemaError as error:
        raise StudyError(f"{error}; choose compression.method = 'none'") from None


def restored(payload: AdapterState, asked: AdapterSchema, compression: Compression) -> dict[str, Array]:
    """Check a payload, which may come from another machine, and return the update that it stands for.

    Raises:
        SchemaError: it is not what the compression makes of the tensors in `asked`.
        NotFiniteError: it has values that are not finite.
    """
    compression.wire_schema(asked).check(payload)
    return compression.decompress(payload, asked)
