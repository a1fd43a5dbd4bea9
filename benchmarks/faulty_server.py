"""A server that breaks two of three sessions, at a random stage and in a random manner.

Arguments: ``seed``: the same seed gives the same faults to the same sequence of connections.
"""

import random
import socket
import struct

from .measure import arguments
from .serving import STAGES, Session, serve

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER, on, 0 seconds: close() sends RST
_SOUND = 1 / 3
"""The share of sessions without a fault."""


class Faulty(Session):
    """A session with at most one fault."""

    def __init__(self, chance: random.Random) -> None:
        sound = chance.random() < _SOUND
        self._stage = "" if sound else chance.choice(STAGES)
        self._fault = chance.choice(FAULTS)
        self._is_deaf = False

    def data_received(self, data: bytes) -> None:
        """Take it, unless this server listens no more."""
        if not self._is_deaf:
            super().data_received(data)

    def reach(self, stage: str) -> None:
        """Do what is right, or the fault where its time has come."""
        if self._is_deaf:
            return
        if stage != self._stage:
            super().reach(stage)
            return
        self._stage = ""
        getattr(self, f"_{self._fault}")(stage)

    def _close(self, _stage: str) -> None:
        self.transport.close()

    def _reset(self, _stage: str) -> None:
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def _silence(self, _stage: str) -> None:
        self._is_deaf = True

    def _shutdown(self, _stage: str) -> None:
        self.transport.write(b"421 4.3.2 Going down\r\n")
        self.transport.close()

    def _shutdown_and_silence(self, _stage: str) -> None:
        self.transport.write(b"421 4.3.2 Going down\r\n")
        self._is_deaf = True

    def _transient(self, _stage: str) -> None:
        self.transport.write(b"451 4.3.0 Not now\r\n")

    def _permanent(self, _stage: str) -> None:
        self.transport.write(b"550 5.7.1 Never\r\n")

    def _garbage(self, _stage: str) -> None:
        self.transport.write(b"\x00\xff no reply at all\r\n")

    def _half(self, _stage: str) -> None:
        self.transport.write(b"250-half a rep")
        self.transport.close()

    def _surplus(self, stage: str) -> None:
        self.transport.write(b"250 2.0.0 One more\r\n")
        super().reach(stage)

    def _early(self, stage: str) -> None:
        super().reach(stage)
        self.transport.close()


FAULTS = (
    *("close", "reset", "silence", "shutdown", "shutdown_and_silence", "transient"),
    *("permanent", "garbage", "half", "surplus", "early"),
)


if __name__ == "__main__":
    shared = random.Random(arguments()["seed"])
    serve(lambda: Faulty(shared))
