"""`Outbox`: a `Mailer` whose emails, and whose outcomes, are in a file until they are done with."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, cast

from pykka.messages import _ActorStop

from ...signals.outcome import Outcome
from ...signals.send_mail import SendMail
from ..loop.event_loop import event_loop
from ..mailer.drains import Drain
from ..mailer.jobs.job import Job, Part
from ..mailer.jobs.statistics import Statistics
from ..mailer.mailer import Mailer
from ..options.hiding import harmless_of, wrap_secret_url, wrap_secrets_in
from .asking import Asking
from .draining import Draining
from .messages import Cancel, Find, Hold, OutboxStatistics, Put, Release, Retry
from .options import OUTBOX_DEFAULTS, OutboxOptions, checked, of_mailer
from .outbox_ref import OutboxRef
from .publishing import Publishing
from .putting import Putting
from .sending.entry import Ended, Entry
from .sending.gate import GatedSmtpActor
from .sending.shipping import Shipping
from .store.sealed_store import open_store
from .store.wake import HEARERS, SENDERS
from .text.mail_text import MailText, to_text
from .thread.copying import Copying
from .thread.last_turn import LastTurn
from .thread.ops import Watch
from .thread.results import Results
from .thread.store_thread import StoreThread
from .thread.waking import Waking
from .timing import Timing
from .upkeep import Upkeep

_HARMLESS = harmless_of(OUTBOX_DEFAULTS)


def _not_yet(outcome: Outcome, *, is_asked: bool) -> None:
    """Publish nothing: `Ended` takes the outcome, and it is published once it is in the file."""


class Outbox(Mailer):
    """Keeps emails in a file until they are sent, and outcomes until they are heard.

    ::

        outbox = Outbox.start("mail.db", server="mail.example.org")
        outbox.tell(SendMail(...))
        receipt = outbox.ask(Put(SendMail(...), key="order-4711"))

    **By default at least once**: if the process dies, or the connection breaks, after the end of an
    email went out and before its reply came, the email is sent again. The copy has the same
    Message-ID, and the outcome says how many there may be: `Outcome.doubts`.

    `stop`, and the end of the program, give emails in flight `grace` seconds. What waits stays in
    the file, for the next start. It is not cancelled.

    Several processes may use one file, with one Outbox each.
    """

    _ref_type = OutboxRef
    _plain_message: type | None = MailText
    _attempt_type = GatedSmtpActor
    _waits_for_probes = True

    if TYPE_CHECKING:

        @classmethod
        def start(  # type: ignore[override] # pyright: ignore[reportIncompatibleMethodOverride]
            cls,
            path: "str | os.PathLike[str]",
            server: str = "localhost",
            port: int = 25,
            **options: Unpack[OutboxOptions],
        ) -> OutboxRef:
            """Start an Outbox with the options that `__init__` describes."""
            ...

    else:

        @classmethod
        def start(cls, *args: Any, **kwargs: Any) -> OutboxRef:
            """Start an Outbox with the options of `__init__`. See `pykka.Actor.start`."""
            harmless = _HARMLESS | {"path"} if cls.__init__ is Outbox.__init__ else None
            wrap_secrets_in(kwargs, harmless)
            args = (*args[:1], *[wrap_secret_url(value) for value in args[1:]])
            return super(Mailer, cls).start(*args, **kwargs)

    def __init__(
        self,
        path: "str | os.PathLike[str]",
        server: str = "localhost",
        port: int = 25,
        **options: Unpack[OutboxOptions],
    ) -> None:
        """Check the options and open the file, in the thread that calls `start`.

        Args:
            path: the file; made if there is none. Its folder must be on a local disk.
            server: the host name or IP address of the first relay.
            port: its port, 1 to 65535.
            options: see `OutboxOptions`, `MailerOptions` and `ConnectionOptions`.

        Raises:
            OutboxError: the file cannot be used: damaged, locked, newer, read-only, or on a network
                file system. It is left as it is.
            ValueError: an option is invalid.
            TypeError: an option has the wrong type, or is unknown.
            ImportError: an option needs a package that is not installed.
        """
        server, port = wrap_secret_url(server), wrap_secret_url(port)
        wrap_secrets_in(cast("dict[str, Any]", options), _HARMLESS)
        given = checked(cast("Mapping[str, Any]", options))
        super().__init__(server, port, **of_mailer(given))
        self._jobs.publish = _not_yet
        self._sends, hears = given["send"], given["hear"]
        self._stops_by: float | None = None
        self._store = store = open_store(Path(path), self._alias, given)
        self._results = Results(self, self._delivered)
        self._thread = thread = StoreThread(
            store, keep_sent=given["keep_sent"], keep_failed=given["keep_failed"], clock=time.time
        )
        submit = thread.submit
        self._publishing = Publishing(self._alias, submit, hears=hears)
        self._draining = Draining(self._alias, submit, self._has_any_in_hand)
        self._shipping = Shipping(
            store.life,
            submit,
            self._feed,
            self._publishing.publish,
            self._publishing.take,
            given["retry"],
            given["max_connections"],
            lambda: self._sending.places,
            notes=store.notes,
            hears=hears,
            pace=lambda: self._jobs.throughput.per_second(event_loop().loop.time()),
        )
        self._shipping.is_over = not self._sends
        self._putting = Putting(
            self._alias,
            store.life if hears else None,
            thread,
            submit,
            self._shipping,
            self._publishing,
            most=given["max_queued"],
            most_octets=given["max_octets"],
            at_least_once=given["retry"].at_least_once,
            copying=None if given["seal"] is not None else Copying(store.bodies, self),
        )
        self._upkeep = upkeep = Upkeep(
            self._alias,
            submit,
            self._shipping,
            self._publishing,
            self._draining,
            owes=lambda: thread.owes,
            sends=self._sends,
        )
        self._roles = SENDERS * self._sends | HEARERS * hears
        self._waking = Waking(self, submit, upkeep.file_changed)
        self._timing = Timing(submit, self._shipping, given["retry"], sends=self._sends)
        self._asking = Asking(self._alias, submit, upkeep.file_changed)

    def __repr__(self) -> str:
        if not hasattr(self, "_putting"):  # `__init__` raised
            return "<Outbox>"
        return f"<Outbox {self._alias!r} {self._store.path} {len(self._shipping.entries)} in hand>"

    def _start_actor_loop(self) -> None:
        try:
            super()._start_actor_loop()
        except BaseException:
            self._store.close()
            raise
        # After the loop: what the thread finds at once has somebody to be told to.
        self._thread.start(
            Watch(
                deliver=self._results.deliver_soon,
                call=self._results.call_soon,
                changed=self._upkeep.file_changed,
                rescued=self._upkeep.lives_rescued,
                trouble=self._upkeep.note_trouble,
            )
        )

    # Messages

    def on_start(self) -> None:
        """Called on the loop thread before the first actor message: look at what is in the file."""
        super().on_start()
        if self._roles:
            self._waking.start(self._store.listen(self._roles))
        self._upkeep.file_changed()

    def on_receive(self, message: Any) -> Any:
        """Put an email, or answer a question."""
        pressing = self.is_told_by_receiver
        if isinstance(message, MailText):
            self._putting.take(message, None, self.answer_later(), is_pressing=pressing)
        elif isinstance(message, Put):
            self._putting.take(message.text, message, self.answer_later(), is_pressing=pressing)
        elif isinstance(message, SendMail):
            self._putting.take(to_text(message), None, self.answer_later(), is_pressing=pressing)
        elif isinstance(message, Cancel | Hold | Release | Retry):
            self._asking.change(message, self.answer_later())
        elif isinstance(message, Find):
            self._asking.find(message, self.answer_later())
        elif isinstance(message, Statistics):
            self._asking.count(self._statistics, self.answer_later())
        elif isinstance(message, Drain):
            now = event_loop().loop.time()
            self._draining.add(message, self.answer_later(), now, is_pressing=pressing)
        else:
            return self.misunderstood(message, "an Outbox takes a SendMail or a Put")
        return None

    def _statistics(self, counts: dict[str, int], octets: int) -> OutboxStatistics:
        shipping, putting, trouble = self._shipping, self._putting, self._thread.trouble
        return OutboxStatistics(
            **counts,
            octets=octets,
            put=putting.put,
            duplicates=putting.duplicates,
            sent=shipping.sent,
            failed=shipping.failed,
            retries=shipping.retries,
            doubts=shipping.doubts,
            replayed=self._publishing.replayed,
            rescued=self._upkeep.rescued,
            trouble=None if trouble is None else str(trouble),
            mailer=self.statistics(),
        )

    # Sending

    def _feed(self, entry: Entry, ended: Ended) -> None:
        envelope, left = entry.mail.envelope, entry.facts.left
        if left is not envelope.forward_paths:
            envelope = envelope.only(left)
        job = Job(entry.mail, ended, self._sending.time(), entry.is_pressing)
        job.parts = (Part(job, envelope, self._routing.fixed),)
        self._jobs.add(job)
        if self._sending.is_over:
            self._ending.cancel_part(job.parts[0])
        elif entry.is_pressing:
            self._destinations.prepend(job.parts[0])
            self._sending.dispatch()
        elif self._destinations.append(job.parts[0]):
            self._sending.dispatch()

    # Time

    def on_tick(self, now: float) -> None:
        """Called every `TICK` seconds, on the loop thread."""
        super().on_tick(now)
        self._thread.expire()
        self._publishing.look()
        if self._ending.has_begun:
            self._stop_if_done()
            return
        self._timing.on_tick(now)
        self._shipping.on_tick(now)
        self._putting.on_tick(now)
        self._upkeep.on_tick(now)
        self._draining.look(now)

    def _has_any_in_hand(self) -> bool:
        return bool(self._shipping.entries or self._putting.pending or self.actor_inbox.envelopes)

    # The end

    @property
    def is_busy(self) -> bool:
        """Whether it is doing something with an email: not while it only waits for its time."""
        return self._has_any_in_hand() or not self._publishing.is_quiet

    def begin_stop(self) -> bool:
        """Give back what waits, and let emails in flight finish; return whether that is done."""
        self._shipping.is_over = self._upkeep.is_over = True
        if self._stops_by is None:
            self._stops_by = event_loop().loop.time() + self._grace
        super().begin_stop()
        return self._is_done

    @property
    def _is_done(self) -> bool:
        if not self._ending.is_done or self._shipping.entries:
            return False
        # Their results decide what is published. If the file cannot be written, the next start
        # goes on where it says.
        assert self._stops_by is not None
        is_late = event_loop().loop.time() >= self._stops_by
        if self._putting.is_copying and not is_late:
            return False
        is_all = self._results.count >= self._thread.submitted
        return is_all or (self._thread.trouble is not None and is_late)

    def _delivered(self) -> None:
        if self._ending.has_begun:
            self._stop_if_done()

    def _stop_if_done(self) -> None:
        if self._is_done and not self._has_stopped:
            self.stop_now()

    def on_stop(self) -> None:
        """Give back what is left, and have the file closed once receivers have run."""
        self._shipping.is_over = self._upkeep.is_over = True
        super().on_stop()
        self._waking.close()
        self._shipping.close()
        self._draining.close()
        self._putting.give_up()
        self._thread.close(lambda: self._publishing.is_quiet)
        LastTurn(self._thread, self._store.path).start()

    def main_has_ended(self) -> None:
        """Called when the main thread has ended: what waits stays in the file."""
        self.ask_to_stop(_ActorStop())

    def on_discard(self, message: Any) -> None:
        """Publish that an email came after the Outbox had stopped."""
        if isinstance(message, SendMail):
            self._putting.refuse_late(message)
        elif isinstance(message, Put | MailText):
            self._putting.refuse_late(message.mail)
        else:
            super(Mailer, self).on_discard(message)
