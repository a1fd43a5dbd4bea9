"""pykka-smtp by itself: all of it, but for the network, which `answering` stands in for.

It takes turns: so many mails are told while the server says nothing; then it answers. What a turn
costs the loop thread is processor time, so that others' work disturbs it little.

Arguments: ``reuse``, for a Mailer instead of a `SmtpActor` for each mail; ``turns`` and ``mails``,
in each turn; ``limit``, the connections at a time; ``recipients``, of each mail; ``offers``, lines
of the server's reply to EHLO; ``tells``, whether its replies repeat addresses, with new ones in
each mail, and have queue ids; ``login``, whether the client authenticates; ``window``, how many
mails may be outstanding, and then the server does not wait, or 0 for all; ``composed``, whether
each mail is made of its parts; ``hears``, whether each reply and the progress are heard.
"""

import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from pykka_smtp import (
    Mailer,
    SendMail,
    SendSuccess,
    SmtpActor,
    set_connection_limit,
    smtp_send_failure,
    smtp_send_progress,
    smtp_send_success,
    smtp_server_reply,
)
from pykka_smtp.actors.loop.event_loop import event_loop

from . import answering
from .answering import AnsweringServer
from .client_compose import make
from .client_pykka import Tally
from .mail import CLIENT_NAME, SENDER, mail_of
from .measure import arguments, report
from .processes import HOST

WARM_UP = 2
"""Turns before the clock starts."""
_COUNTED = 3
"""Turns in which calls are counted. The fewest count: who wakes whom, and how often, differs."""
_LOOP = "pykka-smtp-loop"
"""The name of the loop's thread."""
_PORT = 25
_PER_CONNECTION = 1_000_000  # else one turn, now and then, has more to do than the others
_MAIL = mail_of()
_LOGIN = {"username": "me", "password": "open sesame", "allow_plaintext_auth": True}


class CallCounter:
    """A profile function that counts calls, those of built-ins included, but not the server's."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:  # noqa: ARG002
        if event in ("call", "c_call") and frame.f_code.co_filename != answering.__file__:
            self.calls += 1


def _hear(_sender: str, **_extra: object) -> None:
    pass


class Pipeline:
    """A program that sends mails, and all that it takes.

    Args:
        told: the arguments of this module.
    """

    def __init__(self, told: dict[str, Any]) -> None:
        self._count: int = told["mails"]
        self._recipients = range(told["recipients"])
        self._are_new = told["tells"]
        self._window = told["window"]
        self._is_composed = told["composed"]
        self._told = 0
        for signal in (smtp_server_reply, smtp_send_progress) if told["hears"] else ():
            signal.connect(_hear)
        self._server = AnsweringServer(told["offers"], tells=told["tells"])
        self._server.replace_network()
        set_connection_limit(told["limit"])
        options: Any = {"tls": "off", "local_hostname": CLIENT_NAME}
        options |= _LOGIN if told["login"] else {}
        self._tell: Callable[[SendMail], object]
        # One that waits, so that the loop's thread stays.
        self._stays: Any = SmtpActor.start(HOST, _PORT)
        if told["reuse"]:
            self._stays.stop()
            self._stays = Mailer.start(
                HOST,
                _PORT,
                max_connections=told["limit"],
                max_mails_per_connection=_PER_CONNECTION,
                **options,
            )
            self._tell = self._stays.tell
        else:
            self._tell = lambda mail: SmtpActor.start(HOST, _PORT, **options).tell(mail)
        self._thread = next(one for one in threading.enumerate() if one.name == _LOOP)

    def _mail(self) -> SendMail:
        if self._is_composed:
            return make()
        self._told += 1
        who = self._told if self._are_new else ""
        return SendMail(
            sender=SENDER,
            recipients=[f"you{who}+{number}@example.org" for number in self._recipients],
            message=_MAIL,
        )

    def turn(self) -> dict[str, float]:
        """Send mails.

        Returns:
            Processor time in µs for each mail, of the loop's thread, this one, and the others.
        """
        tally = Tally(self._count, self._window)
        smtp_send_success.connect(tally)
        smtp_send_failure.connect(tally)
        if not self._window:
            self._server.hold()
        before = self._clocks()
        for _ in range(self._count):
            if tally.room is not None:
                tally.room.acquire()
            self._tell(self._mail())
        event_loop().loop.call_soon_threadsafe(self._server.release)
        tally.done.wait()
        spent = {name: now - before[name] for name, now in self._clocks().items()}
        smtp_send_success.disconnect(tally)
        smtp_send_failure.disconnect(tally)
        assert tally.counts[SendSuccess] == self._count, tally.counts
        spent["others"] -= spent["loop"] + spent["caller"]
        return {name: seconds / self._count * 1e6 for name, seconds in spent.items()}

    def calls(self) -> float:
        """Return how many calls the loop's thread needs for each mail, once it is warm."""
        counter = CallCounter()
        loop = event_loop().loop
        loop.call_soon_threadsafe(sys.setprofile, counter)
        self.turn()
        ended = threading.Event()
        loop.call_soon_threadsafe(sys.setprofile, None)
        loop.call_soon_threadsafe(ended.set)
        ended.wait()
        return counter.calls / self._count

    def _clocks(self) -> dict[str, float]:
        assert self._thread.ident is not None
        return {
            "loop": time.clock_gettime(time.pthread_getcpuclockid(self._thread.ident)),
            "caller": time.thread_time(),
            "others": time.process_time(),
        }

    def close(self) -> None:
        """Stop everything."""
        self._stays.stop()
        self._server.close()


def main() -> None:
    """Do as told."""
    told = arguments()
    pipeline = Pipeline(told)
    for _ in range(WARM_UP):
        pipeline.turn()
    spent = [pipeline.turn() for _ in range(told["turns"])]
    report(spent=spent, calls=min(pipeline.calls() for _ in range(_COUNTED)))
    pipeline.close()


if __name__ == "__main__":
    main()
