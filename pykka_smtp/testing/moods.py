"""Moods: what a server does instead of what is right, at one stage of a session.

A mood is asked at each stage, and says what to do there, or None: it does not mind. Of several
moods, the first that minds decides. Those here are made for one stage, which is named as in
`Moment.stage`.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from .talk.acts import Act, Deed, Drip, Talk, Wait


class Client(Protocol):
    """A client, as far as a talk knows it.

    Attributes:
        user: who has logged in, or None.
    """

    user: str | None

    @property
    def tls(self) -> str | None:
        """The version of TLS, or None where it has not begun."""
        ...


@dataclass(slots=True)
class Moment:
    """Where a session stands.

    Attributes:
        stage: ``"greeting"``; or what the client has said, such as ``"EHLO"``, ``"MAIL"``,
            ``"RCPT"``, ``"DATA"``, ``"BDAT"``; or ``"."``, its mail has come; or ``"body"``, its
            mail comes now; or ``"TLS"``, which begins now.
        reply: what is right to say; empty where nothing is.
        client: who says it.
        line: its command line.
        path: the mailbox of MAIL or RCPT; in LMTP also of ``"."``, of which there is one for each.
        data: the mail at ``"."``, transparency undone; empty where the stage keeps none.
    """

    stage: str
    reply: bytes
    client: Client
    line: bytes = b""
    path: str = ""
    data: bytes = b""


Mood = Callable[[Moment], Iterable[Act] | Talk | None]
"""Says what to do, or None. A talk may read what the client says next."""


class At:
    """A mood for one stage.

    Args:
        stage: which.
        do: says what to do.
        to: only for this recipient; at MAIL, for this sender.
        times: only so many times, over all sessions.
    """

    def __init__(
        self,
        stage: str,
        do: Callable[[Moment], Iterable[Act] | Talk | None],
        *,
        to: str | None = None,
        times: int | None = None,
    ) -> None:
        self.stages: tuple[str] = (stage,)
        self._do = do
        self._to = to
        self._left = times
        self._lock = threading.Lock()

    def __call__(self, moment: Moment) -> Iterable[Act] | Talk | None:
        """Say what to do at this moment, or None."""
        if moment.stage not in self.stages or self._to not in (None, moment.path):
            return None
        if self._left is not None:
            with self._lock:
                if not self._left:
                    return None
                self._left -= 1
        return self._do(moment)


def said(text: str | bytes) -> bytes:
    """Give the octets of a reply: its text, and CRLF."""
    return (text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text) + b"\r\n"


def refuse(
    stage: str,
    reply: str = "550 5.7.1 refused",
    *,
    to: str | None = None,
    times: int | None = None,
) -> Mood:
    """Say no, for good.

    Args:
        stage: ``"greeting"``, a verb such as ``"MAIL"`` or ``"RCPT"``, or ``"."`` for the mail.
        reply: what to say; any reply will do.
        to: only for this recipient; at MAIL, for this sender.
        times: only so many times, over all sessions.
    """
    return At(stage, lambda _moment: [said(reply)], to=to, times=times)


def defer(
    stage: str,
    reply: str = "451 4.3.0 not now",
    *,
    to: str | None = None,
    times: int | None = None,
) -> Mood:
    """Say no for now: trying again later is sensible. The arguments are those of `refuse`."""
    return refuse(stage, reply, to=to, times=times)


def answer(stage: str, *replies: str, to: str | None = None) -> Mood:
    """Say these replies, one after the other, and from then on what is right.

    Args:
        stage: see `refuse`.
        replies: what to say.
        to: only for this recipient; at MAIL, for this sender.
    """
    left = deque(replies)
    return At(stage, lambda _moment: [said(left.popleft())], to=to, times=len(left))


def silence(stage: str, *, to: str | None = None, times: int | None = None) -> Mood:
    """Say nothing more, and keep the connection. The arguments are those of `refuse`."""
    return At(stage, lambda _moment: [Deed.SILENCE], to=to, times=times)


def drop(stage: str, *, to: str | None = None, times: int | None = None) -> Mood:
    """Hang up instead of answering. The arguments are those of `refuse`."""
    return At(stage, lambda _moment: [Deed.CLOSE], to=to, times=times)


def reset(stage: str, *, to: str | None = None, times: int | None = None) -> Mood:
    """Break the connection instead of answering (RST). The arguments are those of `refuse`."""
    return At(stage, lambda _moment: [Deed.RESET], to=to, times=times)


def deaf(stage: str, *, times: int | None = None) -> Mood:
    """Read nothing more. The arguments are those of `refuse`."""
    return At(stage, lambda _moment: [Deed.DEAF], times=times)


def drip(stage: str, *, interval: float = 0.02, times: int | None = None) -> Mood:
    """Say what is right octet by octet.

    Args:
        stage: see `refuse`.
        interval: seconds between two octets.
        times: only so many times, over all sessions.
    """
    return At(stage, lambda moment: [Drip(moment.reply, interval=interval)], times=times)


def early(stage: str, *, times: int | None = None) -> Mood:
    """Answer the next command, too, before it comes. The arguments are those of `refuse`."""
    return At(stage, lambda moment: [moment.reply + b"250 2.0.0 ok\r\n"], times=times)


def hold(stage: str, event: threading.Event, *, times: int | None = None) -> Mood:
    """Say what is right, but not before the event is set.

    Args:
        stage: see `refuse`.
        event: what to wait for. The server's end ends the waiting, too.
        times: only so many times, over all sessions.
    """
    return At(stage, lambda moment: [Wait(event), moment.reply], times=times)


class Replies:
    """A mood that always says the same instead of what is right.

    Args:
        said: by recipient or stage, such as ``{"MAIL": "451 4.3.0 later", "no@x.test": "550 5.1.1
            who?", ".": "554 5.6.0 no"}``; in LMTP ``". c@d.test"`` is for the mail of one
            recipient. What is for a recipient goes first.
    """

    def __init__(self, said: Mapping[str, str]) -> None:
        self._said = dict(said)
        self.stages: frozenset[str] = _stages_of(said)

    def __call__(self, moment: Moment) -> list[Act] | None:
        """Say what is to be said, if anything is."""
        stage, path = moment.stage, moment.path
        keys = {"RCPT": (path, stage), ".": (f". {path}", stage)}.get(stage, (stage,))
        reply = next((self._said[key] for key in keys if key in self._said), None)
        return None if reply is None else [said(reply)]


class Changing:
    """A mood whose answers come from lists, one after the other; then it says what is right.

    Args:
        answers: by recipient or stage, as for `Replies`. ``"close"`` hangs up instead, and after
            a 421 it does so, too.
    """

    def __init__(self, answers: Mapping[str, Iterable[str]]) -> None:
        self._answers = {key: deque(texts) for key, texts in answers.items()}
        self.stages: frozenset[str] = _stages_of(answers)
        self._lock = threading.Lock()

    def __call__(self, moment: Moment) -> list[Act] | None:
        """Say what is next, if anything is."""
        keys = (moment.path, moment.stage) if moment.stage == "RCPT" else (moment.stage,)
        with self._lock:
            text = next((self._answers[k].popleft() for k in keys if self._answers.get(k)), None)
        if text is None:
            return None
        if text == "close":
            return [Deed.CLOSE]
        return [said(text), Deed.CLOSE] if text.startswith("421") else [said(text)]


def _stages_of(keys: Iterable[str]) -> frozenset[str]:
    """Give the stages that stages and recipients are about."""
    return frozenset(
        word if (word := key.split(" ")[0]).isupper() or word in {"greeting", "."} else "RCPT"
        for key in keys
    )
