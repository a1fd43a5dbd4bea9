"""The timeout of each stage of a session."""

import functools
from dataclasses import dataclass

from ...smtp.words.stage import Stage

PROFILES = ("interactive", "rfc5321")
DEFAULT_TIMEOUT = 30.0
DEFAULT_DEADLINE = 300.0

MIN_DATA_RATE = 500
"""Bytes of mail data per second that a server must read: one that reads a byte at a time, each
within the timeout, would otherwise keep a send busy until its deadline."""

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
    """The timeouts of one attempt.

    Attributes:
        stages: seconds for each step, by stage.
        deadline: seconds for the attempt.
    """

    stages: dict[Stage, float]
    deadline: float


@functools.lru_cache(maxsize=64)  # a program has few
def make_timeouts(profile: str, timeout: float, deadline: float) -> Timeouts:
    """Return the timeouts for these options.

    The timeout for the final reply is the longest (RFC 1047): the server is processing the email,
    and after a timeout it is unknown whether it was accepted. It is as short as the others only if
    `timeout` is less than the default.

    Args:
        profile: ``"interactive"``, or ``"rfc5321"`` for what the RFC requires of a relay.
        timeout: seconds for a step; ignored with ``"rfc5321"``.
        deadline: seconds for the attempt. With ``"rfc5321"``, the default means an hour.
    """
    if profile == "rfc5321":
        whole = _RFC_DEADLINE if deadline == DEFAULT_DEADLINE else deadline
        return Timeouts(_RFC_5321, whole)
    stages = dict.fromkeys(Stage, timeout)
    stages[Stage.CONNECT] = min(_CONNECT, timeout)
    if timeout >= DEFAULT_TIMEOUT:
        stages[Stage.DOT] = max(_FINAL_DOT, timeout)
    return Timeouts(stages, deadline)
