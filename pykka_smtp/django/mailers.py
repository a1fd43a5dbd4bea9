"""The Mailers of a process, one for each set of options, whose connections the backends share."""

import contextlib
import ssl
import threading
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import pykka

from ..actors.loop.threads import main_was_interrupted
from ..actors.mailer.drains import Drain
from ..actors.mailer.mailer import Mailer, MailerRef
from ..signals.forks import in_child, notice_fork

MOST = 100
"""Mailers at most. Beyond that, the one that was used least recently ends, once it is done."""
END_TIMEOUT = 30.0
"""Seconds that the end of the process waits for emails."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A client certificate, by its files.

    Attributes:
        certfile: the path of the certificate, with the key if there is no `keyfile`.
        keyfile: the path of the key, or None.
        changed: when each file was changed last: after a renewal, it is another certificate.
    """

    certfile: str
    keyfile: str | None
    changed: tuple[int, ...]

    @classmethod
    def of(cls, certfile: object, keyfile: object) -> "Certificate | None":
        """Return the certificate of two settings, either of which may be empty.

        Raises:
            ValueError: there is a key only.
            OSError: a file is not there.
        """
        if not certfile:
            if keyfile:
                raise ValueError("ssl_keyfile: there is no ssl_certfile")
            return None
        paths = [str(path) for path in (certfile, keyfile) if path]
        changed = tuple(Path(path).stat().st_mtime_ns for path in paths)
        return cls(paths[0], paths[1] if len(paths) > 1 else None, changed)

    def context(self) -> ssl.SSLContext:
        """Return a context that shows it, and verifies the server.

        Raises:
            OSError: it cannot be loaded.
        """
        context = ssl.create_default_context()
        context.load_cert_chain(self.certfile, self.keyfile)
        return context


class _Entry:
    """A Mailer, its options, and how many threads are using it."""

    __slots__ = ("options", "ref", "users")

    def __init__(self, options: Mapping[str, Any], ref: MailerRef) -> None:
        self.options = options
        self.ref = ref
        self.users = 0


class Mailers:
    """Keeps a Mailer for each set of options. All methods can be called from any thread."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Forget all, as a forked child must: they are its parent's."""
        self._lock = threading.RLock()
        self._entries: list[_Entry] = []

    @contextlib.contextmanager
    def using(self, options: Mapping[str, Any]) -> Generator[MailerRef]:
        """Give the Mailer with these options; start it if there is none.

        Args:
            options: those of `Mailer.start`, secrets wrapped. A `tls_context` may be a
                `Certificate`.

        Raises:
            ValueError: an option is invalid.
            TypeError: an option has the wrong type, or is unknown.
            OSError: a certificate cannot be loaded.
        """
        notice_fork()
        with self._lock:
            entry = self._find(options)
            entry.users += 1
        try:
            yield entry.ref
        finally:
            with self._lock:
                entry.users -= 1

    def _find(self, options: Mapping[str, Any]) -> _Entry:
        entries = self._entries = [entry for entry in self._entries if entry.ref.is_alive()]
        for index, entry in enumerate(entries):
            if entry.options == options:
                entries.append(entries.pop(index))  # the last one is the one used last
                return entry
        entry = _Entry(options, _start(options))
        entries.append(entry)
        if len(entries) > MOST:
            self._retire_one()
        return entry

    def _retire_one(self) -> None:
        for index, entry in enumerate(self._entries[:-1]):
            if not entry.users:
                del self._entries[index]
                _stop_once_done(entry.ref)
                return

    def drain(self, timeout: float) -> bool:
        """Wait until every email that they were told is out, and heard.

        Args:
            timeout: seconds.

        Returns:
            Whether all are; False after the timeout.
        """
        until = monotonic() + timeout
        with self._lock:
            refs = [entry.ref for entry in self._entries]
        is_done = True
        for ref in refs:
            left = max(until - monotonic(), 0.001)
            # A Mailer that has stopped meanwhile has given each email its outcome.
            with contextlib.suppress(pykka.ActorDeadError):
                is_done = ref.ask(Drain(timeout=left)) and is_done
        return is_done

    def stop(self, timeout: float) -> bool:
        """Wait as `drain` does, and stop them all.

        Args:
            timeout: seconds.

        Returns:
            Whether every email was out by then.
        """
        is_done = self.drain(timeout)
        with self._lock:
            entries, self._entries = self._entries, []
        for entry in entries:
            entry.ref.stop()
        return is_done


def _start(options: Mapping[str, Any]) -> MailerRef:
    given = dict(options)
    certificate = given.get("tls_context")
    if isinstance(certificate, Certificate):
        given["tls_context"] = certificate.context()
    return Mailer.start(**given)


def _stop_once_done(ref: MailerRef) -> None:
    with contextlib.suppress(pykka.ActorDeadError):
        future: Any = ref.ask(Drain(), block=False)
        future.when_done(lambda: ref.stop(block=False))


mailers: Mailers = Mailers()
in_child(mailers.renew)


def stop_mailers(timeout: float = END_TIMEOUT) -> bool:
    """Wait until the emails of all backends are out, and close their connections.

    The end of the process does so by itself. It is for what ends in another way, such as a worker
    of Celery, and for tests. The next email opens connections anew.

    Args:
        timeout: seconds to wait; then what is left is cancelled, with outcomes that say so.

    Returns:
        Whether everything was out in time.
    """
    return mailers.stop(timeout)


def _at_exit() -> None:
    """Wait for emails; nobody waits for those of a program that is interrupted."""
    notice_fork()
    if not main_was_interrupted():
        mailers.drain(END_TIMEOUT)


# Before the interpreter tells the Mailers that the main thread has ended: they would cancel what is
# queued. Functions of the module atexit run after that.
with contextlib.suppress(KeyError, RuntimeError):
    vars(threading)["_register_atexit"](_at_exit)
