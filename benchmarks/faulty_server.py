"""A server that breaks two of three sessions, at a random stage and in a random manner.

Arguments: ``seed``: the same seed gives the same faults to the same sequence of connections.
"""

import random

from pykka_smtp.testing.faults import FAULTS
from pykka_smtp.testing.moods import At
from pykka_smtp.testing.stages.process import Served

from .measure import arguments
from .serving import serve, server_of

_SOUND = 1 / 3
"""The share of sessions without a fault."""
STAGES = ("greeting", "EHLO", "MAIL", "RCPT", "DATA", "body", ".", "QUIT")
"""Where a session can stand; each is reached once."""
_FAULTS = (
    *("close", "reset", "silence", "shutdown", "shutdown, silence", "transient", "permanent"),
    *("octets", "half", "surplus", "reply, close"),
)


def faulty(chance: random.Random) -> Served:
    """Make a session with at most one fault."""
    is_sound = chance.random() < _SOUND
    stage, fault = chance.choice(STAGES), FAULTS[chance.choice(_FAULTS)]
    return Served(server_of(moods=[] if is_sound else [At(stage, fault, times=1)]))


if __name__ == "__main__":
    shared = random.Random(arguments()["seed"])
    serve(lambda: faulty(shared))
