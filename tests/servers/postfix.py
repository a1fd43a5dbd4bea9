"""A real Postfix of our own: configuration, queue and data in a temporary folder.

Nothing of a system-wide Postfix is touched, and none need run. The parts are started as
``master`` itself would be, since the ``postfix`` command's checks take longer than most tests.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from .process import ServerProcess
from .require import require, require_root
from .scripted import ReceivedMail, ScriptedServer, polite

MASTER = """\
127.0.0.1:0 inet  n - n - - smtpd
cleanup   unix    n - n - 0 cleanup
qmgr      unix    n - n 300 1 qmgr
rewrite   unix    - - n - - trivial-rewrite
bounce    unix    - - n - 0 bounce
defer     unix    - - n - 0 bounce
trace     unix    - - n - 0 bounce
proxymap  unix    - - n - - proxymap
tlsmgr    unix    - - n 1000? 1 tlsmgr
anvil     unix    - - n - 1 anvil
error     unix    - - n - - error
discard   unix    - - n - - discard
lmtp      unix    - - n - - lmtp
postlog   unix-dgram n - n - 1 postlogd
"""

QUEUES = (
    *("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming"),
    *("private", "saved", "trace"),
)
"""The queue's folders that belong to Postfix's user; ``public`` and ``maildrop`` to its group."""


class PostfixSmtpd:
    """Postfix's smtpd on a free loopback port.

    Args:
        replies: what to say to recipients instead of yes, such as ``{"no@x.test": "550 5.1.1
            who?", "later@x.test": "450 4.2.0 greylisted"}``.
        withhold: EHLO keywords that it does not offer, such as ``("PIPELINING",)``.
        size_limit: octets of a mail, offered as SIZE.
        keep: deliver what was taken to `mails` (with Postfix's Received header on top); otherwise
            it is discarded.
        settings: lines of main.cf, which win over the ones here. ``$config_directory/NAME`` is the
            file of that name in ``tables``.
        tables: files beside main.cf, such as ``{"body": "/virus/ REJECT no"}`` for a
            ``body_checks`` of ``"regexp:$config_directory/body"``.

    Attributes:
        host: where it listens.
        port: a free port, chosen by the system.
    """

    def __init__(
        self,
        *,
        replies: Mapping[str, str] | None = None,
        withhold: Sequence[str] = (),
        size_limit: int = 10_240_000,
        keep: bool = False,
        settings: Mapping[str, str] | None = None,
        tables: Mapping[str, str] | None = None,
    ) -> None:
        require_root()
        self._postconf = require("postconf")
        self.host = "127.0.0.1"
        self.port = 0
        self._recipients = "".join(f"{who} {reply}\n" for who, reply in (replies or {}).items())
        self._withhold = tuple(withhold)
        self._size_limit = size_limit
        self._settings = dict(settings or {})
        self._tables = dict(tables or {})
        self._store = ScriptedServer(polite("8BITMIME", "SMTPUTF8")) if keep else None
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        """Lay out the folders, start master, and wait until it listens."""
        with ExitStack() as exits:
            if self._store is not None:
                exits.enter_context(self._store)
            self._folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="postfix-")))
            self._lay_out()
            process = ServerProcess(
                [f"{self._setting('daemon_directory')}/master", "-d", "-c", str(self._folder)],
                log=self._folder / "output",
            )
            exits.callback(process.stop)
            self.port = process.port
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it, and remove its folders."""
        self._exits.__exit__(kind, error, trace)

    @property
    def mails(self) -> tuple[ReceivedMail, ...]:
        """What was delivered; delivery comes a moment after the verdict: `wait_for` it."""
        return self._kept.mails

    @property
    def log(self) -> str:
        """Postfix's log."""
        path = self._folder / "log"
        return path.read_text(errors="backslashreplace") if path.exists() else "(no log)"

    def wait_for(self, predicate: Callable[[], object], timeout: float = 10.0) -> None:
        """Wait until the predicate holds; it is asked after each step of a delivery.

        Raises:
            AssertionError: it did not hold within the seconds given.
        """
        try:
            self._kept.wait_for(predicate, timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}\nPostfix's log:\n{self.log}") from None

    @property
    def _kept(self) -> ScriptedServer:
        if self._store is None:
            raise RuntimeError("start PostfixSmtpd with keep=True to look at its mails")
        return self._store

    def _setting(self, name: str) -> str:
        command = [self._postconf, "-c", str(self._folder), "-h", name]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def _main(self) -> dict[str, str]:
        folder = self._folder
        transport = f"lmtp:inet:{self._store.host}:{self._store.port}" if self._store else "discard"
        return {
            "compatibility_level": "3.6",
            "queue_directory": f"{folder}/queue",
            "data_directory": f"{folder}/data",
            # Its own log file: a test machine may have no syslog.
            "maillog_file": f"{folder}/log",
            "maillog_file_prefixes": str(folder),
            "myhostname": "postfix.test",
            "mydestination": "",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "mynetworks": "127.0.0.0/8",
            "alias_maps": "",
            "alias_database": "",
            "default_transport": transport,
            # One connection for each delivery, closed at once; mails go on as they came.
            "lmtp_connection_cache_on_demand": "no",
            "lmtp_line_length_limit": "0",
            "smtpd_relay_restrictions": "permit_mynetworks, reject",
            "smtpd_recipient_restrictions": "check_recipient_access "
            "texthash:$config_directory/recipients, permit_mynetworks, reject",
            "smtpd_discard_ehlo_keywords": ", ".join(self._withhold),
            "message_size_limit": str(self._size_limit),
            # Tests misbehave on purpose, and do not wait for the punishment.
            "smtpd_error_sleep_time": "0",
            "smtpd_client_connection_count_limit": "0",
        } | self._settings

    def _lay_out(self) -> None:
        folder = self._folder
        folder.chmod(0o755)
        main = "".join(f"{name} = {value}\n" for name, value in self._main().items())
        files = {"main.cf": main, "master.cf": MASTER, "recipients": self._recipients}
        for name, text in (files | self._tables).items():
            (folder / name).write_text(text)
            # Postfix reads a file of the last seconds again and again, lest it be half written.
            os.utime(folder / name, (0, 0))
        owner = pwd.getpwnam(self._setting("mail_owner")).pw_uid
        group = self._setting("setgid_group")
        _folder(folder / "data", 0o700, owner)
        _folder(folder / "queue", 0o755)
        _folder(folder / "queue/pid", 0o755)
        _folder(folder / "queue/public", 0o710, owner, group)
        _folder(folder / "queue/maildrop", 0o730, owner, group)
        for name in QUEUES:
            _folder(folder / "queue" / name, 0o700, owner)


def _folder(path: Path, mode: int, owner: int | None = None, group: str | None = None) -> None:
    path.mkdir()
    path.chmod(mode)
    if owner is not None:
        shutil.chown(path, owner, group)
