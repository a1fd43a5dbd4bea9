"""The local ports that a Mailer connects from."""

import errno
import itertools
from typing import Any

import pytest
from servers.mailing import Mailing
from servers.scripted import ScriptedServer

from pykka_smtp import Mailer, RetryPolicy, SendSuccess
from pykka_smtp.actors.net.connecting.connect import connect
from pykka_smtp.actors.net.connecting.connect_error import ConnectError
from pykka_smtp.actors.net.wire import connecting_wire as connecting_module

SOON = RetryPolicy(max_attempts=5, initial_delay=0.02, multiplier=1, max_delay=0.02)


@pytest.mark.parametrize(
    "options", [{}, {"max_connections": 2}, {"max_connections": 1, "backups": ["smtp://b.test"]}]
)
def test_one_local_port_is_refused_where_there_may_be_several_connections(
    options: dict[str, Any],
) -> None:
    with pytest.raises(ValueError, match="source_address: port 2525 is one, and serves one"):
        Mailer.start(source_address=("127.0.0.1", 2525), **options)


def test_one_local_port_will_do_for_one_connection() -> None:
    ref = Mailer.start(source_address=("127.0.0.1", 2525), max_connections=1)

    ref.stop()


def test_mails_go_out_from_any_port_of_an_address(mailing: Mailing, server: ScriptedServer) -> None:
    ref = mailing.start(server, source_address=("127.0.0.1", 0))

    mailing.tell(ref, 20)

    assert mailing.kinds() == {"accepted": 20}


def test_a_mail_for_which_there_is_no_local_port_left_is_tried_again(
    mailing: Mailing, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = itertools.count()

    async def short_of_ports(*args: Any, **given: Any) -> None:
        if next(calls) < 2:
            raise ConnectError("no port left", "bind", errno.EADDRINUSE, retryable=True)
        await connect(*args, **given)

    monkeypatch.setattr(connecting_module, "connect", short_of_ports)
    ref = mailing.start(mailing.serve(), source_address=("127.0.0.1", 0), retry=SOON)

    outcome = mailing.ask(ref)

    assert isinstance(outcome, SendSuccess)
    assert outcome.attempts == 3
