"""The plain driver: random inputs, and random changes to inputs that led somewhere new.

It needs nothing but the standard library, and repeats itself exactly for the same seed.
"""

import random

from .tally import Stopwatch, Tally
from .target import Target

_MOST_POOL = 4096
"""Inputs that are kept to be changed."""
_LONGEST = 256
"""Octets of a new input."""


def drive(
    target: Target, *, seconds: float | None = None, executions: int | None = None, seed: int = 0
) -> Tally:
    """Run a target for so long, or so often.

    Args:
        target: what to run.
        seconds: how long.
        executions: how often.
        seed: the same one gives the same inputs.
    """
    chance = random.Random(seed)
    tally = Tally(target.name, "random")
    watch = Stopwatch(seconds, executions)
    pool = list(target.seeds)
    for data in pool:
        tally.execute(target, data)
    while not watch.is_over(tally):
        data = _next(chance, pool)
        known = len(tally.endings)
        ending = tally.execute(target, data)
        # An ending that was never seen, and now and then any other: it may be on the way to one.
        is_new = ending is not None and len(tally.endings) > known
        if is_new or chance.random() < 1 / 64:
            if len(pool) < _MOST_POOL:
                pool.append(data)
            else:
                pool[chance.randrange(len(target.seeds), _MOST_POOL)] = data
    return tally


def _next(chance: random.Random, pool: list[bytes]) -> bytes:
    if chance.random() < 1 / 2:
        return chance.randbytes(int(_LONGEST ** chance.random()))
    data = bytearray(chance.choice(pool))
    for _ in range(chance.choice((1, 1, 2, 4))):
        _change(chance, data, pool)
    return bytes(data[: 4 * _LONGEST])


def _change(chance: random.Random, data: bytearray, pool: list[bytes]) -> None:
    """Make one change of a random kind."""
    place = chance.randrange(len(data) + 1)
    match chance.randrange(6):
        case 0:
            data[place:place] = chance.randbytes(chance.randint(1, 8))
        case 1:
            del data[place : place + chance.randint(1, 8)]
        case 2 if data:
            data[place % len(data)] ^= 1 << chance.randrange(8)
        case 3 if data:
            data[place % len(data)] = chance.randrange(256)
        case 4:
            other = chance.choice(pool)
            data[place:] = other[chance.randrange(len(other) + 1) :]
        case _:
            data += chance.randbytes(chance.randint(1, 32))
