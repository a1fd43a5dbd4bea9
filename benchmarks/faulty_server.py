"""A server that breaks two of three sessions, at a random stage and in a random manner.

Arguments: ``seed``: the same seed gives the same faults to the same sequence of connections.
"""

import random
from collections.abc import Callable

from pykka_smtp.testing.acts import Act, Deed
from pykka_smtp.testing.moods import At, Moment
from pykka_smtp.testing.process import Served

from .measure import arguments
from .serving import serve, server_of

_SOUND = 1 / 3
"""The share of sessions without a fault."""
STAGES = ("greeting", "EHLO", "MAIL", "RCPT", "DATA", "body", ".", "QUIT")
"""Where a session can stand; each is reached once."""
_DOWN = b"421 4.3.2 Going down\r\n"
FAULTS: dict[str, Callable[[Moment], list[Act]]] = {
    "close": lambda _moment: [Deed.CLOSE],
    "reset": lambda _moment: [Deed.RESET],
    "silence": lambda _moment: [Deed.SILENCE],
    "shutdown": lambda _moment: [_DOWN, Deed.CLOSE],
    "shutdown_and_silence": lambda _moment: [_DOWN, Deed.SILENCE],
    "transient": lambda _moment: [b"451 4.3.0 Not now\r\n"],
    "permanent": lambda _moment: [b"550 5.7.1 Never\r\n"],
    "garbage": lambda _moment: [b"\x00\xff no reply at all\r\n"],
    "half": lambda _moment: [b"250-half a rep", Deed.CLOSE],
    "surplus": lambda moment: [b"250 2.0.0 One more\r\n", moment.reply],
    "early": lambda moment: [moment.reply, Deed.CLOSE],
}


def faulty(chance: random.Random) -> Served:
    """Make a session with at most one fault."""
    is_sound = chance.random() < _SOUND
    stage, fault = chance.choice(STAGES), FAULTS[chance.choice(list(FAULTS))]
    return Served(server_of(moods=[] if is_sound else [At(stage, fault, times=1)]))


if __name__ == "__main__":
    shared = random.Random(arguments()["seed"])
    serve(lambda: faulty(shared))
