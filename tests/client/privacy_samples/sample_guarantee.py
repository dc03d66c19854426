"""A mechanism that says it guarantees something to whomever its option names, which is all that a policy looks at."""

from collections.abc import Mapping
from dataclasses import dataclass

from common.privacy import Unit
from common.study import Study


@dataclass(frozen=True)
class SampleGuarantee:
    of: str = "patient"

    @property
    def unit(self) -> Unit:
        return "patient" if self.of == "patient" else "site"

    @property
    def in_words(self) -> str:
        return f"a guarantee of each {self.of}"

    def check(self, study: Study) -> None:
        pass

    def guarantee(self, study: Study) -> Mapping[str, object] | None:
        return {"mechanism": "sample-guarantee", "unit": self.of, "epsilon": None, "delta": 1e-5}


build = SampleGuarantee
