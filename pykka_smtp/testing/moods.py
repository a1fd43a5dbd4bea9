"""Moods: what a server does instead of the right thing, at one stage of a session.

A mood is called at each stage, and returns what to do, or None if it does not apply. Of several
moods, the first that applies decides. Those here are for one stage, named as in `Moment.stage`.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from .talk.acts import Act, Deed, Drip, Talk, Wait


class Client(Protocol):
    """The client of a session.

    Attributes:
        user: the user name that it has logged in with, or None.
    """

    user: str | None

    @property
    def tls(self) -> str | None:
        """The version of TLS, or None without TLS."""
        ...


@dataclass(slots=True)
class Moment:
    """The state of a session when a mood is called.

    Attributes:
        stage: ``"greeting"``; the verb of the client's command, such as ``"EHLO"``, ``"MAIL"``,
            ``"RCPT"``, ``"DATA"``, ``"BDAT"``; ``"body"`` when the mail data begins; ``"."`` at its
            end; or ``"TLS"`` when TLS begins.
        reply: the right reply, with CRLF; empty if there is none.
        client: the client.
        line: its command line.
        path: the mailbox of MAIL or RCPT; with LMTP also of ``"."``, which comes once for each
            recipient.
        data: the mail data at ``"."``, dot stuffing undone; empty if the server does not keep it.
    """

    stage: str
    reply: bytes
    client: Client
    line: bytes = b""
    path: str = ""
    data: bytes = b""


Mood = Callable[[Moment], Iterable[Act] | Talk | None]
"""Returns what to do, or None. A talk may read the client's next commands."""


class At:
    """A mood for one stage.

    Args:
        stage: the stage.
        do: returns what to do.
        to: only for this recipient; at MAIL, for this sender.
        times: only this many times, over all sessions.
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
        """Return what to do at this moment, or None."""
        if moment.stage not in self.stages or self._to not in (None, moment.path):
            return None
        if self._left is not None:
            with self._lock:
                if not self._left:
                    return None
                self._left -= 1
        return self._do(moment)


def said(text: str | bytes) -> bytes:
    """Return a reply's text as bytes, with CRLF."""
    return (text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text) + b"\r\n"


def refuse(
    stage: str,
    reply: str = "550 5.7.1 refused",
    *,
    to: str | None = None,
    times: int | None = None,
) -> Mood:
    """Reject.

    Args:
        stage: ``"greeting"``, a verb such as ``"MAIL"`` or ``"RCPT"``, or ``"."`` for the end of an
            email.
        reply: the reply; any reply is possible.
        to: only for this recipient; at MAIL, for this sender.
        times: only this many times, over all sessions.
    """
    return At(stage, lambda _moment: [said(reply)], to=to, times=times)


def defer(
    stage: str,
    reply: str = "451 4.3.0 not now",
    *,
    to: str | None = None,
    times: int | None = None,
) -> Mood:
    """Defer: a retry is sensible. The arguments are those of `refuse`."""
    return refuse(stage, reply, to=to, times=times)


def answer(stage: str, *replies: str, to: str | None = None) -> Mood:
    """Send these replies, one each time, and then the right one.

    Args:
        stage: see `refuse`.
        replies: the replies.
        to: only for this recipient; at MAIL, for this sender.
    """
    left = deque(replies)
    return At(stage, lambda _moment: [said(left.popleft())], to=to, times=len(left))


def silence(stage: str, *, to: str | None = None, times: int | None = None) -> Mood:
    """Send nothing more, and keep the connection open. The arguments are those of `refuse`."""
    return At(stage, lambda _moment: [Deed.SILENCE], to=to, times=times)


def drop(stage: str, *, to: str | None = None, times: int | None = None) -> Mood:
    """Close the connection instead of replying. The arguments are those of `refuse`."""
    return At(stage, lambda _moment: [Deed.CLOSE], to=to, times=times)


def reset(stage: str, *, to: str | None = None, times: int | None = None) -> Mood:
    """Abort the connection by RST instead of replying. The arguments are those of `refuse`."""
    return At(stage, lambda _moment: [Deed.RESET], to=to, times=times)


def deaf(stage: str, *, times: int | None = None) -> Mood:
    """Read nothing more. The arguments are those of `refuse`."""
    return At(stage, lambda _moment: [Deed.DEAF], times=times)


def drip(stage: str, *, interval: float = 0.02, times: int | None = None) -> Mood:
    """Send the right reply byte by byte.

    Args:
        stage: see `refuse`.
        interval: seconds between two bytes.
        times: only this many times, over all sessions.
    """
    return At(stage, lambda moment: [Drip(moment.reply, interval=interval)], times=times)


def early(stage: str, *, times: int | None = None) -> Mood:
    """Also reply to the next command, before it arrives. The arguments are those of `refuse`."""
    return At(stage, lambda moment: [moment.reply + b"250 2.0.0 ok\r\n"], times=times)


def hold(stage: str, event: threading.Event, *, times: int | None = None) -> Mood:
    """Send the right reply, once an event is set.

    Args:
        stage: see `refuse`.
        event: the event to wait for. Stopping the server ends the wait, too.
        times: only this many times, over all sessions.
    """
    return At(stage, lambda moment: [Wait(event), moment.reply], times=times)


class Replies:
    """A mood with a fixed reply for each stage or recipient.

    Args:
        said: the replies by recipient or stage, such as ``{"MAIL": "451 4.3.0 later", "no@x.test":
            "550 5.1.1 unknown", ".": "554 5.6.0 no"}``; with LMTP, ``". c@d.test"`` is for the end
            of the email to one recipient. A recipient's reply has precedence.
    """

    def __init__(self, said: Mapping[str, str]) -> None:
        self._said = dict(said)
        self.stages: frozenset[str] = _stages_of(said)

    def __call__(self, moment: Moment) -> list[Act] | None:
        """Return the reply, if there is one."""
        stage, path = moment.stage, moment.path
        keys = {"RCPT": (path, stage), ".": (f". {path}", stage)}.get(stage, (stage,))
        reply = next((self._said[key] for key in keys if key in self._said), None)
        return None if reply is None else [said(reply)]


class Changing:
    """A mood that takes its replies from lists, one each time, and then sends the right one.

    Args:
        answers: lists of replies by recipient or stage, as for `Replies`. ``"close"`` closes the
            connection instead; a reply of 421 closes it afterwards.
    """

    def __init__(self, answers: Mapping[str, Iterable[str]]) -> None:
        self._answers = {key: deque(texts) for key, texts in answers.items()}
        self.stages: frozenset[str] = _stages_of(answers)
        self._lock = threading.Lock()

    def __call__(self, moment: Moment) -> list[Act] | None:
        """Return the next reply, if there is one."""
        keys = (moment.path, moment.stage) if moment.stage == "RCPT" else (moment.stage,)
        with self._lock:
            text = next((self._answers[k].popleft() for k in keys if self._answers.get(k)), None)
        if text is None:
            return None
        if text == "close":
            return [Deed.CLOSE]
        return [said(text), Deed.CLOSE] if text.startswith("421") else [said(text)]


def _stages_of(keys: Iterable[str]) -> frozenset[str]:
    """Return the stages of such keys."""
    return frozenset(
        word if (word := key.split(" ")[0]).isupper() or word in {"greeting", "."} else "RCPT"
        for key in keys
    )
