"""The trainer of a site as a test wants it, behind the real socket."""

from collections.abc import Callable
from threading import Event
from typing import Any

from client.hospital import Hospital
from common import wire
from common.preflight import MESSAGE_KIND

Respond = Callable[[], wire.Content]
Behaviour = Callable[[str, wire.Content, Respond], wire.Content]


class Double:
    """The trainer of `west`, in the test's own process behind the real socket."""

    def __init__(self, hospital: Hospital) -> None:
        self.hospital = hospital
        self.behaviour: Behaviour | None = None

    def respond(self, action: str, content: wire.Content) -> wire.Content:
        """Answer as a hospital does, or as the test wants: the preflight always honestly."""
        if action == MESSAGE_KIND or self.behaviour is None:
            return self.hospital.respond(action, content)
        return self.behaviour(action, content, lambda: self.hospital.respond(action, content))

    def status(self) -> Any:
        """Return how the hospital is."""
        return self.hospital.status()


class Held:
    """A behaviour: the first question of a round is answered only when the test lets it go."""

    def __init__(self, round_number: int, *, patience_s: float = 240) -> None:
        self.round, self.patience_s = round_number, patience_s
        self.asked, self.released = Event(), Event()

    def __call__(self, action: str, content: wire.Content, respond: Respond) -> wire.Content:
        if wire.peek_request(content).round == self.round:
            self.asked.set()
            self.released.wait(self.patience_s)
        return respond()
