"""The exceptions of fedpeft, one small tree.

    FedpeftError
    ├── UserError            a mistake in what the user gave: one line on stderr, exit 2
    │   ├── StudyError       the study file, or an option that overrides it
    │   ├── BundleError      a prepared study that is damaged or does not fit
    │   │   └── DamagedError a version in a registry whose file is cut off or changed (`common.registry.reading`)
    │   ├── DataError        rows, columns, labels, sites
    │   ├── ModelError       the base model's files or digest
    │   ├── DeviceError      a device that is not there
    │   ├── SignatureError   a signature or key that is not what it should be (`common.keys`)
    │   ├── SupervisionError what supervisord says (`common.supervisor_link`)
    │   ├── UnknownRunError, FlowerTimeoutError   what `flwr` says (`server.coordinator.flower_command`)
    │   └── CheckpointError  a run that cannot be resumed
    ├── SchemaError          tensors that are not what the adapter schema says
    │   └── NotFiniteError   they are, but for NaN or infinity among the values
    ├── RefusedError         a site declines to answer; carries a fixed word, never data
    ├── MemberError          a further process of a site is gone (`client.team`)
    ├── TrackingError        a tracker takes nothing now (`server.trackers`); training goes on
    ├── TrainerFailure       a trainer gave a gateway no answer; likewise (`client.trainer_connection`)
    └── ParticipationError   a run ended without enough sites: exit 3

One bad client is data, not an exception: see `server.admission`.
"""


class FedpeftError(Exception):
    """Base of every exception that fedpeft raises on purpose."""


class UserError(FedpeftError):
    """A mistake that the user can mend; the text says what was found, what was expected, what to do."""


class StudyError(UserError):
    """The study file, or an option that overrides one of its keys, is wrong."""


class BundleError(UserError):
    """A prepared study is damaged, incomplete, or does not fit what it is used with."""


class DataError(UserError):
    """Rows, columns, labels or sites are not what the study says."""


class ModelError(UserError):
    """The base model's files are missing, of a refused kind, or have another digest."""


class DeviceError(UserError):
    """A device that was asked for is not on this machine."""


class CheckpointError(UserError):
    """A checkpoint is missing, damaged, or of another study."""


class SchemaError(FedpeftError):
    """Tensors do not match the adapter schema in names, shapes or dtypes."""


class NotFiniteError(SchemaError):
    """Tensors match the schema in names, shapes and dtypes, but hold NaN or infinity."""


class RefusedError(FedpeftError):
    """A site declines to answer.

    `reason` is one of a fixed set of words (see `common.protocol.REASONS`), so that nothing of a patient, a path or
    a tensor can leave in it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ParticipationError(FedpeftError):
    """A round stayed below the quorum after it was asked again; the last complete round is in the checkpoint."""
