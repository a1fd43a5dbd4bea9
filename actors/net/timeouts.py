"""How long each stage of a session may take."""

import functools
from dataclasses import dataclass

from ...smtp.words.stage import Stage

PROFILES = ("interactive", "rfc5321")
DEFAULT_TIMEOUT = 30.0
DEFAULT_DEADLINE = 300.0

MIN_DATA_RATE = 500
"""Octets of mail data a second that a server must take: one that takes them one by one, each in
time, would keep a send for ever."""

_CONNECT = 15.0
_FINAL_DOT = 120.0
_RFC_DEADLINE = 3600.0

# RFC 5321 §4.5.3.2.1 to §4.5.3.2.6, in seconds.
_RFC_5321 = {
    Stage.CONNECT: 300.0,
    Stage.GREETING: 300.0,
    Stage.EHLO: 300.0,
    Stage.STARTTLS: 300.0,
    Stage.AUTH: 300.0,
    Stage.MAIL: 300.0,
    Stage.RCPT: 300.0,
    Stage.DATA: 120.0,
    Stage.BODY: 180.0,
    Stage.DOT: 600.0,
    Stage.QUIT: 300.0,
}


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The time limits of one send.

    Attributes:
        stages: seconds for each step, by stage.
        deadline: seconds for the whole.
    """

    stages: dict[Stage, float]
    deadline: float


@functools.lru_cache(maxsize=64)  # a program has few
def make_timeouts(profile: str, timeout: float, deadline: float) -> Timeouts:
    """Make the table of limits.

    The wait for the reply to the final dot is the longest (RFC 1047): a server works then, and to
    give up means not to know. It is as short as the others only for who asks for less than the
    default.

    Args:
        profile: ``"interactive"``, or ``"rfc5321"`` for what the RFC asks of a relay.
        timeout: seconds for a step; the RFC's table has its own.
        deadline: seconds for the whole; an hour with the RFC's table, if it is the default.
    """
    if profile == "rfc5321":
        whole = _RFC_DEADLINE if deadline == DEFAULT_DEADLINE else deadline
        return Timeouts(_RFC_5321, whole)
    stages = dict.fromkeys(Stage, timeout)
    stages[Stage.CONNECT] = min(_CONNECT, timeout)
    if timeout >= DEFAULT_TIMEOUT:
        stages[Stage.DOT] = max(_FINAL_DOT, timeout)
    return Timeouts(stages, deadline)
