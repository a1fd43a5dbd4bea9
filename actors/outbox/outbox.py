"""`Outbox`: a `Mailer` whose emails, and whose outcomes, are in a file until they are done with."""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, cast

from pykka.messages import _ActorStop

from ...signals.bus import publish_event, smtp_outbox_trouble
from ...signals.outcome import Outcome
from ...signals.outlets.journal import log_mailer
from ...signals.send_mail import SendMail
from ...smtp.words.plain import plain_bool, plain_int
from ..loop import guard
from ..loop.asyncio_actor import Answer
from ..loop.event_loop import event_loop
from ..mailer.drains import Drain
from ..mailer.jobs.job import Job, Part
from ..mailer.jobs.retry import NO_RETRY, RetryPolicy
from ..mailer.jobs.statistics import Statistics
from ..mailer.mailer import Mailer
from ..mailer.options import MAILER_DEFAULTS
from ..options.connection_options import check_names
from ..options.hiding import harmless_of, wrap_secret_url, wrap_secrets_in
from ..options.mailer_options import check_count
from .draining import Draining
from .messages import Cancel, Find, Hold, OutboxStatistics, Put, Release, Retry
from .ops import Done, Kind, Watch
from .options import OUTBOX_DEFAULTS, RETRY, OutboxOptions
from .outbox_ref import AsMail, OutboxRef
from .publishing import Publishing
from .putting import Putting
from .sending.entry import Ended, Entry
from .sending.failures import CANCELLED
from .sending.gate import GatedSmtpActor
from .sending.shipping import Shipping
from .store.errors import OutboxError
from .store.records import Rescue, Row
from .store.sqlite_store import SqliteStore
from .store.store import Store
from .store_thread import StoreThread

_HARMLESS = harmless_of(OUTBOX_DEFAULTS)
_LONGEST = 10 * 365 * 86_400.0
_STRAYS = 2.0
"""Seconds between two looks for emails that are this life's by the file only."""


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
    _plain_message: type | None = None
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
        check_names(options, OUTBOX_DEFAULTS, "Outbox")
        given = OUTBOX_DEFAULTS | cast("dict[str, Any]", options)
        policy = RETRY if given["retry"] is None else given["retry"]
        if not isinstance(policy, RetryPolicy):
            raise TypeError(f"retry: needs a RetryPolicy, not {type(policy).__name__}")
        of_mailer: dict[str, Any] = {name: given[name] for name in MAILER_DEFAULTS}
        of_mailer["retry"] = NO_RETRY  # they are the outbox's: one in memory would die with it
        super().__init__(server, port, **of_mailer)
        self._jobs.publish = _not_yet
        self._sends = plain_bool("send", given["send"])
        self._hears = plain_bool("hear", given["hear"])
        keep = [_check_kept(name, given[name]) for name in ("keep_sent", "keep_failed")]
        most = check_count("max_queued", given["max_queued"])
        most_octets = plain_int("max_octets", given["max_octets"], 1, 1 << 62)
        self._draining = Draining(self._alias, self._submit, self._has_any_in_hand)
        self._ops = 0
        self._rescued = 0
        self._strays: set[int] = set()
        self._strays_at = 0.0
        self._stops_by: float | None = None
        file = Path(path)
        self._store = store = SqliteStore(file, self._alias, hears=self._hears)
        watch = Watch(
            deliver=self._deliver_soon,
            changed=self._file_changed,
            rescued=self._lives_rescued,
            trouble=self._note_trouble,
        )
        self._trouble_since = 0.0
        self._thread = StoreThread(
            store, watch, keep_sent=keep[0], keep_failed=keep[1], clock=time.time
        )
        self._publishing = Publishing(self._alias, self._submit, hears=self._hears)
        self._shipping = Shipping(
            store.life,
            self._submit,
            self._feed,
            self._publishing.publish,
            self._publishing.take,
            policy,
            given["max_connections"],
            hears=self._hears,
            pace=lambda: self._jobs.throughput.per_second(event_loop().loop.time()),
        )
        self._shipping.is_over = not self._sends
        self._putting = Putting(
            self._alias,
            store.life if self._hears else None,
            self._thread,
            self._submit,
            self._shipping,
            self._publishing,
            most=most,
            most_octets=most_octets,
            at_least_once=policy.at_least_once,
        )

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
        self._thread.start()

    # The file

    def _submit(self, kind: Kind, value: Any, then: Callable[[Any], object]) -> None:
        """Have something done with the file. From any thread."""
        self._ops += 1
        self._thread.submit(kind, value, then)

    def _deliver_soon(self, done: list[Done]) -> None:
        """Called on the thread of the file."""
        try:
            event_loop().loop.call_soon_threadsafe(guard.call, self, self._deliver, done)
        except RuntimeError:
            return  # the loop has ended: the next start goes on where the file says

    def _deliver(self, done: list[Done]) -> None:
        own = (self._file_changed, self._lives_rescued, self._note_trouble)
        for then, result in done:
            if then not in own:
                self._ops -= 1
            try:
                then(result)
            except BaseException as error:  # the others' results must not be lost
                guard.end(self, error)
        if self._ending.has_begun:
            self._stop_if_done()

    def _file_changed(self, _nothing: object) -> None:
        if self._has_stopped or self._ending.has_begun:
            return
        self._publishing.take()
        if self._sends:
            self._shipping.look_soon()
        self._draining.look(event_loop().loop.time())

    def _lives_rescued(self, rescue: Rescue) -> None:
        self._rescued += rescue.ready
        if rescue.ready or rescue.held or rescue.in_doubt:
            log_mailer(
                logging.WARNING,
                "%s: %d processes have died; took over %d emails, %d are held, %d are in doubt",
                *(self._alias, len(rescue.lives), rescue.ready, rescue.held, len(rescue.in_doubt)),
                alias=self._alias,
            )
        for row in rescue.in_doubt:
            self._shipping.take_doubtful(row)
        self._file_changed(None)

    def _note_trouble(self, error: OutboxError | None) -> None:
        if error is not None:
            self._trouble_since = time.time()
            text = "%s: %s; nothing new is sent or taken until that is over"
            log_mailer(logging.ERROR, text, self._alias, error, alias=self._alias)
        else:
            text = "%s: the file can be written again"
            log_mailer(logging.WARNING, text, self._alias, alias=self._alias)
        since = self._trouble_since
        publish_event(smtp_outbox_trouble, self._alias, error=error, since=since)
        if error is None:
            self._reconcile()

    def _reconcile(self) -> None:
        """Give back what is this life's by the file only: a turn that failed may be in it."""
        claimed, published = list(self._shipping.entries), list(self._publishing.published)

        def reconcile(store: Store) -> list[Row]:
            return store.reconcile(claimed, published)

        def reconciled(rows: list[Row] | OutboxError) -> None:
            for row in [] if isinstance(rows, OutboxError) else rows:
                if row.seq not in self._shipping.entries:
                    self._shipping.take_doubtful(row)
            self._file_changed(None)

        self._submit(Kind.HAND, reconcile, reconciled)

    def _look_for_strays(self, now: float) -> None:
        """Look from time to time whether all that is this life's by the file is in its memory."""
        if now < self._strays_at or self._thread.trouble is not None:
            return
        self._strays_at = now + _STRAYS

        def looked(owned: list[int] | OutboxError) -> None:
            if isinstance(owned, OutboxError):
                return
            known = self._shipping.entries.keys() | self._publishing.published
            strays = set(owned) - known
            # Twice: what is on its way between file and memory is seen once only.
            if strays & self._strays:
                self._reconcile()
            self._strays = strays

        self._submit(Kind.LOOK, _owned, looked)

    # Messages

    def on_start(self) -> None:
        """Called on the loop thread before the first actor message: look at what is in the file."""
        super().on_start()
        self._file_changed(None)

    def on_receive(self, message: Any) -> Any:
        """Put an email, or answer a question."""
        if isinstance(message, SendMail):
            self._take_mail(Put(message))
        elif isinstance(message, AsMail):
            self._take_mail(message.put)
        elif isinstance(message, Put):
            pressing = self.is_told_by_receiver
            self._putting.take_put(message, self.answer_later(), is_pressing=pressing)
        elif isinstance(message, Cancel | Hold | Release | Retry):
            self._by_hand(message)
        elif isinstance(message, Find):
            self._look(lambda store: store.find(**_wanted(message)), lambda found: found)
        elif isinstance(message, Statistics):
            self._look(_figures, self._statistics)
        elif isinstance(message, Drain):
            self._drain(message)
        else:
            return self.misunderstood(message, "an Outbox takes a SendMail or a Put")
        return None

    def _take_mail(self, put: Put) -> None:
        pressing = self.is_told_by_receiver
        self._putting.take_mail(put, self.answer_later(), is_pressing=pressing)

    def _look(self, read: Callable[[Store], Any], made: Callable[[Any], object]) -> None:
        answer = self.answer_later()
        self._submit(Kind.LOOK, read, lambda result: _answer(answer, result, made))

    def _by_hand(self, message: Cancel | Hold | Release | Retry) -> None:
        answer = self.answer_later()
        alias, name, now = message.alias or self._alias, message.name, time.time()

        def write(store: Store) -> bool:
            if isinstance(message, Cancel):
                return store.cancel(alias, name, CANCELLED, now)
            if isinstance(message, Hold):
                return store.hold(alias, name)
            if isinstance(message, Release):
                return store.release(alias, name, now)
            return store.retry(alias, name, now)

        def written(result: bool | OutboxError) -> None:
            _answer(answer, result, lambda done: done)
            if result is True:
                self._file_changed(None)

        self._submit(Kind.HAND, write, written)

    def _statistics(self, figures: tuple[dict[str, int], int]) -> OutboxStatistics:
        counts, octets = figures
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
            rescued=self._rescued,
            trouble=None if trouble is None else str(trouble),
            mailer=self.statistics(),
        )

    # Sending

    def _feed(self, entry: Entry, ended: Ended) -> None:
        now = event_loop().loop.time()
        job = Job(entry.mail, ended, now, entry.is_pressing)
        envelope = entry.mail.envelope.only(entry.facts.left)
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
        self._shipping.claim()
        self._putting.on_tick(now)
        self._look_for_strays(now)
        self._draining.look(now)

    def _drain(self, drain: Drain) -> None:
        pressing = self.is_told_by_receiver
        now = event_loop().loop.time()
        self._draining.add(drain, self.answer_later(), now, is_pressing=pressing)

    def _has_any_in_hand(self) -> bool:
        return bool(self._shipping.entries or self._putting.pending or self.actor_inbox.envelopes)

    # The end

    @property
    def is_busy(self) -> bool:
        """Whether it is doing something with an email: not while it only waits for its time."""
        return self._has_any_in_hand() or not self._publishing.is_quiet

    def begin_stop(self) -> bool:
        """Give back what waits, and let emails in flight finish; return whether that is done."""
        self._shipping.is_over = True
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
        return self._ops <= 0 or (self._thread.trouble is not None and is_late)

    def _stop_if_done(self) -> None:
        if self._is_done and not self._has_stopped:
            self.stop_now()

    def on_stop(self) -> None:
        """Give back what is left, and have the file closed once receivers have run."""
        self._shipping.is_over = True
        super().on_stop()
        self._draining.close()
        self._thread.close(lambda: self._publishing.is_quiet)

    def main_has_ended(self) -> None:
        """Called when the main thread has ended: what waits stays in the file."""
        self.ask_to_stop(_ActorStop())

    def on_discard(self, message: Any) -> None:
        """Publish that an email came after the Outbox had stopped."""
        if isinstance(message, AsMail):
            message = message.put
        if isinstance(message, Put | SendMail):
            mail = message.mail if isinstance(message, Put) else message
            self._putting.refuse_late(mail)
        else:
            super(Mailer, self).on_discard(message)

    def abandon(self) -> None:
        """Forget it in a forked child; the file and its locks belong to the parent."""
        super().abandon()
        self._store.abandon()


def _check_kept(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name}: needs seconds, not {type(value).__name__}")
    if not 0 <= value <= _LONGEST:
        raise ValueError(f"{name}: needs seconds from 0 to {_LONGEST:.0f}, not {value}")
    return float(value)


def _wanted(find: Find) -> dict[str, Any]:
    return {name: getattr(find, name) for name in find.__slots__}


def _owned(store: Store) -> list[int]:
    return store.owned()


def _figures(store: Store) -> tuple[dict[str, int], int]:
    return store.counts(), store.octets()


def _answer(answer: Answer, result: Any, made: Callable[[Any], object]) -> None:
    if isinstance(result, OutboxError):
        answer.set_exception((OutboxError, result, None))
    else:
        answer.set(made(result))
