"""Requests and answers as Flower messages, and back; what comes back is not trusted.

Tensors travel as one flat array per dtype in schema order, everything else as one JSON text per message. Decoding
compares sizes, dtypes and headers with what the schema says before any array is made, so that a message can cost no
more memory than its own bytes, and whatever is wrong with it is a SchemaError.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias  # JSON values

import numpy as np
import safetensors
import safetensors.numpy
from flwr.app import DEFAULT_TTL, Array, ArrayRecord, ConfigRecord, Message, RecordDict

from common import answers, npy, strict_json
from common import state as tensors
from common.carried import split_carried
from common.errors import RefusedError, SchemaError
from common.extra import extra_schema
from common.failures import word_of
from common.files import digest_bytes, digest_json
from common.metrics.measure import Measure
from common.protocol import REASONS, Answer, Refusal, Request, received_schema
from common.rank_slices import sliced, sliced_schema
from common.request_head import RequestHead, head_json, read_head
from common.state import AdapterSchema, AdapterState
from common.tensor_files import metadata_of, to_safetensors

FlowerMessage: TypeAlias = Message
Content: TypeAlias = RecordDict
PackedAdapter: TypeAlias = ArrayRecord

MAX_TEXT: Final = 1 << 20
"""Longest JSON text of a message, in characters."""

_HEAD, _ADAPTER, _CARRIED, _UPDATE, _EXTRA = "head", "adapter", "carried", "update", "extra"
_TEXT, _NAME = "json", "name"


def pack_adapter(shared: AdapterState, schema: AdapterSchema, rank: int | None = None) -> PackedAdapter:
    """Return the record of the shared tensors at a site of `rank`: made once per round, it serves all such sites."""
    return _pack(sliced(shared, rank), sliced_schema(schema.shared, rank))


def pack_carried(shared: AdapterState) -> PackedAdapter:
    """Return the record of what is carried beside the adapter: the same for every site, empty where nothing is."""
    carried = split_carried(shared)[1]
    return _pack(carried, AdapterSchema.of(carried))


def encode_request(request: Request, adapter: PackedAdapter, carried: PackedAdapter | None = None) -> RecordDict:
    """Return the content of a message.

    adapter: `pack_adapter(request.shared, schema, request.plan.rank)`. carried: `pack_carried(request.shared)`, made
    here where it is not given.
    """
    beside = pack_carried(request.shared) if carried is None else carried
    return RecordDict({_HEAD: _text(head_json(request)), _ADAPTER: adapter, **({_CARRIED: beside} if beside else {})})


def peek_request(content: RecordDict) -> RequestHead:
    """Return the head of a request, before anyone knows of which study it is. Raises SchemaError."""
    head = read_head(_read_text(content))
    _check_records(content, {_HEAD, _ADAPTER} if head.carried is None else {_HEAD, _ADAPTER, _CARRIED})
    return head


def decode_request(content: RecordDict, schema: AdapterSchema) -> Request:
    """Read a request; what is carried beside the adapter is as its own head says, and still to be checked.

    Raises:
        RefusedError: it is for another adapter schema.
        SchemaError: it is not a request, or its tensors are not those of the schema at the rank of its plan.
    """
    head = peek_request(content)
    if head.adapter_schema != schema.digest:
        raise RefusedError("WRONG_SCHEMA")
    shared = _unpack(content, _ADAPTER, received_schema(schema, head.plan))
    carried = {} if head.carried is None else _unpack(content, _CARRIED, head.carried_schema)
    if split_carried(carried)[0]:
        raise SchemaError("what is carried has tensors of the adapter's own names")
    return Request(
        kind=head.kind,
        run=head.run,
        round=head.round,
        seed=head.seed,
        study=head.study,
        schema=head.adapter_schema,
        plan=head.plan,
        splits=head.splits,
        shared={**shared, **carried},
    )


def encode_answer(answer: Answer, asked: AdapterSchema) -> RecordDict:
    """Return the content of a reply; `asked` is the `common.protocol.asked_schema` of its request.

    Raises:
        SchemaError: the update is not what was asked for, or the refusal is free text. Nothing of it leaves.
    """
    if isinstance(answer, Refusal):
        if answer.reason not in REASONS:
            raise SchemaError("the site refuses with a word that is not in the list of reasons")
        return RecordDict({_HEAD: _text({"answer": answers.to_json(answer), "schema": None, "extra": []})})
    update = _record(asked.pack_checked(answer.update))
    extra = AdapterSchema.of(answer.extra)
    head = {"answer": answers.to_json(answer), "schema": asked.digest, "extra": extra.to_json()}
    packed = {_UPDATE: update, _EXTRA: _pack(answer.extra, extra)}
    # Each record is a request more to the SuperLink on either side, so that an empty one is left out.
    return RecordDict({_HEAD: _text(head), **{name: record for name, record in packed.items() if record}})


def decode_answer(content: RecordDict, asked: AdapterSchema, *, measure: Measure) -> Answer:
    """Read a reply; `measure` is the task's.

    Raises:
        SchemaError: anything at all is not as it was asked for.
    """
    head = strict_json.parse(_read_text(content), limit=MAX_TEXT)
    if not isinstance(head, dict) or set(head) != {"answer", "schema", "extra"}:
        raise SchemaError("head of the reply lacks answer, schema or extra, or has more")
    if head["schema"] is None:
        _check_records(content, {_HEAD})
        return _refusal(head["answer"], measure)
    schemas = {_UPDATE: asked, _EXTRA: extra_schema(head["extra"])}
    filled = [name for name, schema in schemas.items() if schema.tensors]
    _check_records(content, {_HEAD, *filled})
    if head["schema"] != asked.digest:
        raise SchemaError("reply has the tensors of another schema than was asked for")
    read = {name: _unpack(content, name, schemas[name]) for name in filled}
    return answers.from_json(head["answer"], update=read.get(_UPDATE, {}), extra=read.get(_EXTRA, {}), measure=measure)


def _refusal(content: Any, measure: Measure) -> Refusal:
    answer = answers.from_json(content, update={}, extra={}, measure=measure)
    if not isinstance(answer, Refusal):
        raise SchemaError("reply without tensors is not a refusal")
    return answer


def encode_query() -> RecordDict:
    """Return the content of the question that asks a site for its name."""
    return RecordDict()


def encode_value(value: object) -> RecordDict:
    """Return a content that is one JSON value."""
    return RecordDict({_HEAD: _text(value)})


def decode_value(content: RecordDict) -> object:
    """Read one JSON value that another machine sent. Raises SchemaError."""
    _check_records(content, {_HEAD})
    value: object = strict_json.parse(_read_text(content), limit=MAX_TEXT)
    return value


def encode_name(name: str) -> RecordDict:
    """Return the content of a site's answer to a query."""
    return RecordDict({_NAME: ConfigRecord({_NAME: name})})


def decode_name(content: RecordDict) -> str:
    """Read a site's name; the roster decides what it is worth. Raises SchemaError."""
    _check_records(content, {_NAME})
    record = content[_NAME]
    name = record.get(_NAME) if isinstance(record, ConfigRecord) else None
    if not isinstance(name, str):
        raise SchemaError("answer to a query lacks the site's name")
    return name


def message(
    content: RecordDict, *, kind: str, node: int, round_number: int, deadline_s: float | None = None
) -> FlowerMessage:
    """Return a Flower message of type `kind` that outlives its deadline, so that a late reply is late and not lost."""
    lifetime_s = max(DEFAULT_TTL, 2 * (deadline_s or 0))
    return Message(content, dst_node_id=node, message_type=kind, group_id=str(round_number), ttl=lifetime_s)


def failure_of(reply: FlowerMessage) -> str | None:
    """Return a fixed word where Flower carries an error in place of an answer."""
    if reply.has_content():
        return None
    return word_of(reply.error.code)


def size_bytes(content: RecordDict) -> int:
    """Return the payload of a message: the bytes of its arrays and texts, without Flower's framing."""
    return sum(_record_bytes(record) for record in content.values())


def array_bytes(content: RecordDict) -> int:
    """Return the bytes of a message's arrays alone: its texts grow and shrink with the digits of measured seconds."""
    return sum(_record_bytes(record) for record in content.values() if isinstance(record, ArrayRecord))


def _record_bytes(record: object) -> int:
    if isinstance(record, ArrayRecord):
        return sum(len(array.data) for array in record.values())
    if isinstance(record, ConfigRecord):
        return sum(len(value.encode()) for value in record.values() if isinstance(value, str))
    return 0


def _pack(state: AdapterState, schema: AdapterSchema) -> ArrayRecord:
    return _record(schema.pack(state))


def _record(flat: Mapping[str, tensors.Array]) -> ArrayRecord:
    return ArrayRecord({dtype: Array(dtype, (a.size,), "numpy.ndarray", npy.encode(a)) for dtype, a in flat.items()})


def _unpack(content: RecordDict, name: str, schema: AdapterSchema) -> dict[str, tensors.Array]:
    record = content[name]
    if not isinstance(record, ArrayRecord):
        raise SchemaError(f"record {name!r} does not hold arrays")
    sizes = schema.sizes
    if record.keys() != sizes.keys():
        raise SchemaError(f"record {name!r} has {len(record)} arrays, expected {sorted(sizes)}")
    return schema.unpack({dtype: _flat(record[dtype], dtype, size) for dtype, size in sizes.items()})


def _flat(array: Array, dtype: str, size: int) -> tensors.Array:
    if array.stype != "numpy.ndarray" or array.dtype != dtype or tuple(array.shape) != (size,):
        raise SchemaError(f"array is not declared as {dtype}[{size}]")
    flat = npy.decode(array.data, dtype=dtype, size=size)
    if not tensors.is_finite(flat):
        raise SchemaError("array has values that are not finite")
    return flat


def _check_records(content: RecordDict, names: Iterable[str]) -> None:
    if set(content) != set(names):
        raise SchemaError(f"message has {len(content)} records, expected exactly {sorted(names)}")


def _text(value: Any) -> ConfigRecord:
    return ConfigRecord({_TEXT: json.dumps(value, allow_nan=False, separators=(",", ":"))})


def _read_text(content: RecordDict) -> str:
    record = content.get(_HEAD)
    text = record.get(_TEXT) if isinstance(record, ConfigRecord) and len(record) == 1 else None
    if not isinstance(text, str) or len(text) > MAX_TEXT:
        raise SchemaError(f"message lacks its head: one JSON text of at most {MAX_TEXT} characters")
    return text


def to_frame(content: RecordDict) -> bytes:
    """Return the content of a message as one safetensors text: how a gateway hands it to the trainer's socket."""
    arrays: dict[str, tensors.Array] = {}
    shapes: dict[str, Any] = {}
    for name, record in content.items():
        if isinstance(record, ArrayRecord):
            shapes[name] = {key: [a.dtype, list(a.shape), a.stype] for key, a in record.items()}
            arrays |= {f"{name}/{key}": np.frombuffer(a.data, np.uint8) for key, a in record.items()}
    texts = {name: dict(record) for name, record in content.items() if isinstance(record, ConfigRecord)}
    return to_safetensors(arrays, metadata={_HEAD: json.dumps({"arrays": shapes, "texts": texts})})


def digest_of(content: RecordDict) -> str:
    """Return a digest of a message's content; a frame has none, since its bytes vary with the order in its head."""
    parts = {
        name: {key: [a.dtype, list(a.shape), a.stype, digest_bytes(a.data)] for key, a in record.items()}
        if isinstance(record, ArrayRecord)
        else dict(record)
        for name, record in content.items()
    }
    return digest_json(parts)


def from_frame(frame: bytes) -> RecordDict:
    """Return what `to_frame` was given. Raises SchemaError where it is no such frame."""
    try:
        arrays = safetensors.numpy.load(frame)
        head = strict_json.parse(metadata_of(frame)[_HEAD], limit=2 * MAX_TEXT)
        records = RecordDict({n: ConfigRecord(t) for n, t in head["texts"].items()})
        for name, shapes in head["arrays"].items():
            records[name] = ArrayRecord(
                {
                    key: Array(dtype, tuple(shape), stype, arrays[f"{name}/{key}"].tobytes())
                    for key, (dtype, shape, stype) in shapes.items()
                }
            )
        return records
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise SchemaError(f"not a frame of a message ({type(error).__name__})") from None
