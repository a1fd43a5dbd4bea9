"""The states of an email in an outbox, and what may follow what.

Each step names the state that it expects, and looks whether it found it. So of two that want to do
something with an email, one does it, whatever clocks and processes do.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass

ALONE_AFTER = 3
"""Crashes after which an email is sent alone: if the process dies of it again, it is held.

Not held at once: who is killed often has killed many emails that did nothing wrong.
"""


class State(enum.StrEnum):
    """Where an email is."""

    READY = "ready"
    """It waits until it is due, for whoever claims it first."""
    CLAIMED = "claimed"
    """A process has it in memory. Nothing of its end is on the wire."""
    DOT = "dot"
    """The end of its mail data may be on the wire: a server may have accepted it."""
    TOLD = "told"
    """Its outcome is in the file, and is to be published."""
    HEARD = "heard"
    """Receivers of its outcome have run."""
    HELD = "held"
    """It is not sent until somebody says so."""


class Step(enum.StrEnum):
    """What happens to an email."""

    CLAIM = "claim"
    MARK = "mark"
    GIVE_BACK = "give back"
    AGAIN = "again"
    TELL = "tell"
    HEAR = "hear"
    EXPIRE = "expire"
    """It is taken to be told, as it is useless by now."""
    CANCEL = "cancel"
    HOLD = "hold"
    RELEASE = "release"
    RETRY = "retry"


_S = State

FROM: Mapping[Step, tuple[State, ...]] = {
    Step.CLAIM: (_S.READY,),
    Step.MARK: (_S.CLAIMED,),
    Step.GIVE_BACK: (_S.CLAIMED, _S.DOT),  # the owner knows that the end did not go out
    Step.AGAIN: (_S.CLAIMED, _S.DOT),
    Step.TELL: (_S.CLAIMED, _S.DOT),
    Step.HEAR: (_S.TOLD,),
    Step.EXPIRE: (_S.READY, _S.HELD),
    Step.CANCEL: (_S.READY, _S.CLAIMED, _S.HELD),
    Step.HOLD: (_S.READY, _S.CLAIMED),
    Step.RELEASE: (_S.HELD,),
    Step.RETRY: (_S.READY, _S.HELD, _S.HEARD),
}
"""In which states each step may happen. Of an owner's steps, only while it is the owner."""

TO: Mapping[Step, State] = {
    Step.CLAIM: _S.CLAIMED,
    Step.MARK: _S.DOT,
    Step.GIVE_BACK: _S.READY,
    Step.AGAIN: _S.READY,
    Step.TELL: _S.TOLD,
    Step.HEAR: _S.HEARD,
    Step.EXPIRE: _S.CLAIMED,
    Step.CANCEL: _S.TOLD,
    Step.HOLD: _S.HELD,
    Step.RELEASE: _S.READY,
    Step.RETRY: _S.READY,
}
"""The state after each step."""

OF_OWNER = frozenset((Step.MARK, Step.GIVE_BACK, Step.AGAIN, Step.TELL, Step.HEAR))
"""The steps that only the process may do that has the email."""


@dataclass(frozen=True, slots=True)
class AfterDeath:
    """What becomes of an email whose process has died.

    Attributes:
        state: its state now.
        crashes: how many it has seen.
        doubts: how many earlier attempts may have been accepted.
        is_in_doubt: whether its outcome is that it may have been accepted.
        replays: how often its outcome may have been published already.
    """

    state: State
    crashes: int
    doubts: int
    is_in_doubt: bool = False
    replays: int = 0


def after_death(
    state: State, *, crashes: int, doubts: int, replays: int, at_least_once: bool
) -> AfterDeath:
    """Return what becomes of an email whose process has died.

    Args:
        state: the state in which the process left it: claimed, dot or told.
        crashes: how many it has seen before this one.
        doubts: how many earlier attempts may have been accepted.
        replays: how often its outcome may have been published.
        at_least_once: whether a second copy is better than none.

    Raises:
        ValueError: no process owns an email in this state.
    """
    if state is State.TOLD:
        return AfterDeath(State.TOLD, crashes, doubts, replays=replays + 1)
    if state is State.CLAIMED:
        # One that is to be sent alone may have waited for that for long, and is no suspect yet.
        return AfterDeath(State.READY, min(crashes + 1, max(crashes, ALONE_AFTER)), doubts)
    if state is not State.DOT:
        raise ValueError(f"no process owns an email that is {state}")
    if not at_least_once:
        return AfterDeath(State.TOLD, crashes + 1, doubts, is_in_doubt=True)
    next_state = State.HELD if crashes >= ALONE_AFTER else State.READY
    return AfterDeath(next_state, crashes + 1, doubts + 1)
