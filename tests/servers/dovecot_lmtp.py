"""Dovecot's LMTP server, which stores mails in mailboxes, and has a verdict for each recipient."""

import os
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from .accounts import USER
from .certificates import Tls
from .delivered import without_trace
from .dovecot import OWNER, Dovecot
from .process import ServerProcess
from .scripted import ReceivedMail
from .server_root import ServerRoot
from .waiting import wait_until

LMTP = """\
protocols = lmtp
lmtp_add_received_header = no
mail_plugins = quota
plugin {
  quota = count:User
  quota_vsizes = yes
}
service lmtp {
  inet_listener lmtp {
    port = <port>
    ssl = <implicit>
  }
  unix_listener lmtp {
    mode = 0666
  }
}
"""


class DovecotLmtp(Dovecot):
    """Dovecot's LMTP server on a free loopback port, and on a Unix socket.

    After the dot it answers for each recipient: mailboxes may be full or broken.

    Args:
        mailboxes: the users that it knows; others are refused with 550 5.1.1.
        full: those whose mailbox is full: 552 5.2.2 after the dot.
        broken: those whose mailbox cannot be written: 451 4.2.0 after the dot.
        tls: how it speaks TLS, or None if it does not.
    """

    def __init__(
        self,
        *,
        mailboxes: Sequence[str] = (USER, "other@mx.test"),
        full: Sequence[str] = ("full@mx.test",),
        broken: Sequence[str] = ("broken@mx.test",),
        tls: Tls | None = None,
    ) -> None:
        super().__init__(tls, (), dict.fromkeys([*mailboxes, *full, *broken], ""))
        self._full = full
        self._broken = broken

    @property
    def socket(self) -> Path:
        """The Unix socket; TLS is not implicit there."""
        return self._root.path / "run/dovecot/lmtp"

    @property
    def mails(self) -> tuple[ReceivedMail, ...]:
        """What was delivered, one mail for each recipient; it is there before the verdict."""
        paths = sorted(self._root.path.glob("home/*/mail/new/*"), key=os.path.getmtime)
        return tuple(map(_stored, paths))

    def wait_for(self, predicate: Callable[[], object], timeout: float = 10.0) -> None:
        """Wait until the predicate holds.

        Raises:
            AssertionError: it did not hold within the seconds given.
        """
        if not wait_until(predicate, timeout):
            raise AssertionError(f"waited {timeout} s in vain; the server's log:\n{self.log}")

    def _protocol(self) -> str:
        return LMTP

    def _fields(self, user: str) -> str:
        return "userdb_quota_rule=*:bytes=1" if user in self._full else ""

    def _start(self, root: ServerRoot, exits: ExitStack) -> ServerProcess:
        for user in self._broken:
            root.folder(f"home/{user}", OWNER)
            # A file where a folder should be.
            root.write(f"home/{user}/mail", "", OWNER)
        return super()._start(root, exits)


def _stored(path: Path) -> ReceivedMail:
    data = path.read_bytes()
    sender = re.match(rb"Return-Path: <(.*)>\r\n", data)
    mail = ReceivedMail(
        sender=sender[1].decode() if sender else None,
        recipients=(path.parts[-4],),
        data=data,
        raw=b"",
        verdicts=[250],
    )
    return without_trace(mail, "return-path", "delivered-to")
