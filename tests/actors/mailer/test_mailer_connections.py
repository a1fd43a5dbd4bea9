"""How a Mailer leases connections: when it keeps them, when it leaves them, and what it risks."""

import socket
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from servers.certificates import Certificates, Tls, server_context
from servers.mailer_fixtures import Retries
from servers.mailing import SOON, Clock, Mailing, kind_of
from servers.scripted import Conn, ScriptedServer, Session, parse_script, polite
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import (
    NO_RETRY,
    FailureKind,
    Mailer,
    SendFailure,
    SendMail,
    SendSuccess,
    SmtpActor,
    Stage,
)
from pykka_smtp.actors import AsyncioActor
from pykka_smtp.actors.loop.event_loop import event_loop
from pykka_smtp.actors.mailer.connections.pooled_smtp_actor import PooledSmtpActor
from pykka_smtp.actors.net.connection_limit import connection_limit
from pykka_smtp.actors.net.wire import closing_wire as closing_module
from pykka_smtp.smtp.words.verdict import Failed

PROBES = (0.02, 0.1)
AT_ONCE = 8.0
"""Seconds for what has to happen at once, on a machine that has other things to do: far fewer than
the 30 of a step, so what waits for another is found."""

Start = Callable[..., Any]

OFFERS = [(), ("PIPELINING",), ("CHUNKING",), ("PIPELINING", "CHUNKING")]


def verbs(session: Session) -> list[str]:
    return [line.split()[0].upper() for line in session.lines]


def mails_of(server: ScriptedServer) -> list[int]:
    return [len(session.mails) for session in server.sessions]


TAKEN = """
    C: MAIL *
    S: 250 ok
    C: RCPT *
    S: 250 ok
    C: DATA
    S: 354 go ahead
    C: <data>
    S: 250 taken
"""
TAKEN_AS_CHUNK = """
    C: MAIL *
    S: 250 ok
    C: RCPT *
    S: 250 ok
    C: BDAT *
    C: <chunk>
    S: 250 taken
"""


RESET = "\nC: RSET\nS: 250 ok"
BYE = "\nC: QUIT\nS: 221 bye\n"


def takes(count: int, then: str, *offers: str) -> str:
    """Write the script of a server that takes so many mails, and then plays another script."""
    lines = ["mx.test", *offers]
    ehlo = [f"S: 250-{line}" for line in lines[:-1]] + [f"S: 250 {lines[-1]}"]
    mail = TAKEN_AS_CHUNK if "CHUNKING" in offers else TAKEN
    return "\n".join(["S: 220 mx.test", "C: EHLO *", *ehlo, *[mail] * count, then])


class Idles:
    """A server that takes a mail, and does something of its own accord while nobody uses it.

    Args:
        then: a script, or a function.
        offers: what it offers.
    """

    def __init__(self, then: str | Callable[[Conn], object], *offers: str) -> None:
        self._before = parse_script(takes(1, "# nothing", *offers))
        self._then = then
        self._may_go_on = threading.Event()
        self.is_done = threading.Event()

    def __call__(self, conn: Conn) -> None:
        conn.play(self._before)
        assert self._may_go_on.wait(PATIENCE)
        if isinstance(self._then, str):
            conn.play(parse_script(self._then))
        else:
            self._then(conn)
        self.is_done.set()
        if conn._sock.fileno() >= 0:
            conn.hang()

    def go_on(self) -> None:
        """Have it do so, and wait until it has."""
        self._may_go_on.set()
        assert self.is_done.wait(PATIENCE)


# Reuse


@pytest.mark.parametrize("offers", OFFERS, ids=str)
def test_many_mails_go_out_on_one_connection_with_one_ehlo_and_no_rset(
    loop_kind: str, mailing: Mailing, offers: Sequence[str]
) -> None:
    server, ref = mailing.begin(polite(*offers), max_connections=1)

    mailing.tell(ref, 20)
    assert mailing.kinds() == {"accepted": 20}
    ref.stop(timeout=PATIENCE)
    server.wait_until_ended()

    assert mails_of(server) == [20]
    came = Counter(verbs(server.sessions[0]))
    transfer = "BDAT" if "CHUNKING" in offers else "DATA"
    assert came == {"EHLO": 1, "MAIL": 20, "RCPT": 20, transfer: 20, "QUIT": 1}


def test_several_connections_serve_a_queue_and_stay_for_the_next(
    mailing: Mailing, server: ScriptedServer
) -> None:
    ref = mailing.start(server, max_connections=3)

    for _ in range(5):
        mailing.tell(ref, 30)
        mailing.outcomes()

    assert server.accepted == 150
    assert 1 <= len(server.sessions) <= 3
    assert sum(verbs(session).count("EHLO") for session in server.sessions) <= 3


@pytest.mark.parametrize("code", [451, 551])
@pytest.mark.parametrize(
    ("refused", "reset"),
    [
        ("C: MAIL *\nS: {} no", ""),
        ("C: MAIL *\nS: 250 ok\nC: RCPT *\nS: {} no", RESET),
        ("C: MAIL *\nS: 250 ok\nC: RCPT *\nS: 250 ok\nC: DATA\nS: {} no", RESET),
        (TAKEN.replace("250 taken", "{} no"), ""),
    ],
    ids=["MAIL", "RCPT", "DATA", "dot"],
)
def test_rset_is_said_only_where_a_transaction_came_to_nothing(
    mailing: Mailing, refused: str, reset: str, code: int
) -> None:
    server = mailing.serve(takes(0, refused.format(code) + reset + TAKEN + TAKEN + BYE))
    ref = mailing.start(server, max_connections=1, retry=NO_RETRY)

    first, second, third = mailing.ask(ref), mailing.ask(ref), mailing.ask(ref)

    assert (first.kind, first.code) == (FailureKind.SMTP, code)
    assert isinstance(second, SendSuccess)
    assert isinstance(third, SendSuccess)
    ref.stop(timeout=PATIENCE)
    server.wait_until_ended()
    assert [session.completed for session in server.sessions] == [True]


def test_rset_goes_out_in_one_group_with_what_follows(mailing: Mailing) -> None:
    """A server that answers only once it has the whole group."""
    server = mailing.serve(
        takes(
            0,
            """
            C: MAIL *
            C: RCPT *
            C: DATA
            S: 250 ok
            S: 550 no
            S: 503 no recipient
            C: RSET
            C: MAIL *
            C: RCPT *
            C: DATA
            S: 250 ok
            S: 250 ok
            S: 250 ok
            S: 354 go ahead
            C: <data>
            S: 250 taken
            """
            + BYE,
            "PIPELINING",
        )
    )
    ref = mailing.start(server, max_connections=1)

    assert [kind_of(mailing.ask(ref)) for _ in range(2)] == ["SMTP", "accepted"]
    ref.stop(timeout=PATIENCE)
    server.wait_until_ended()
    assert [session.completed for session in server.sessions] == [True]


def test_after_a_chunk_that_was_refused_the_connection_is_not_kept(mailing: Mailing) -> None:
    refused = TAKEN_AS_CHUNK.replace("250 taken", "550 no")
    server, ref = mailing.begin(takes(0, refused + BYE, "CHUNKING"), polite(), max_connections=1)

    assert [kind_of(mailing.ask(ref)) for _ in range(2)] == ["SMTP", "accepted"]

    assert mails_of(server) == [1, 1]
    assert server.accepted == 1


# When connections are left


def test_after_so_many_mails_a_connection_is_left_with_quit(
    loop_kind: str, mailing: Mailing, server: ScriptedServer
) -> None:
    ref = mailing.start(server, max_connections=1, max_mails_per_connection=3)

    mailing.tell(ref, 7)

    assert mailing.kinds() == {"accepted": 7}
    assert mails_of(server) == [3, 3, 1]
    ref.stop(timeout=PATIENCE)
    server.wait_until_ended(3)
    assert [verbs(session)[-1] for session in server.sessions] == ["QUIT"] * 3


def test_with_one_mail_per_connection_none_is_ever_kept(mailing: Mailing) -> None:
    server, ref = mailing.begin(polite("PIPELINING", "CHUNKING"), max_mails_per_connection=1)

    mailing.tell(ref, 10)

    assert mailing.kinds() == {"accepted": 10}
    server.wait_until_ended(10)
    assert mails_of(server) == [1] * 10
    assert mailing.statistics(ref).connections_idle == 0


def test_a_server_that_limits_the_mails_of_a_session_is_obeyed(mailing: Mailing) -> None:
    """RFC 9422 §4.1."""
    server, ref = mailing.begin(polite("LIMITS MAILMAX=2"), max_connections=1)

    mailing.tell(ref, 5)

    assert mailing.kinds() == {"accepted": 5}
    assert mails_of(server) == [2, 2, 1]
    assert [verbs(session)[-1] for session in server.sessions[:2]] == ["QUIT"] * 2


def test_an_unused_connection_is_closed_with_quit(
    loop_kind: str, mailing: Mailing, server: ScriptedServer
) -> None:
    ref = mailing.start(server, idle_timeout=0.05)
    mailing.ask(ref)

    server.wait_until_ended()

    assert verbs(server.sessions[0])[-1] == "QUIT"
    assert wait_until(lambda: not mailing.statistics(ref).connections_idle, PATIENCE)
    assert isinstance(mailing.ask(ref), SendSuccess)
    assert mails_of(server) == [1, 1]


def test_a_connection_that_is_used_stays_however_long_its_idle_timeout_is_over(
    mailing: Mailing, server: ScriptedServer
) -> None:
    ref = mailing.start(server, idle_timeout=PATIENCE)
    actor = ref._actor_weakref()
    assert actor is not None
    idle = actor._idle._by_age
    mailing.ask(ref)
    kept = next(iter(idle))
    kept.since -= PATIENCE - 1  # almost over

    mailing.ask(ref)

    assert next(iter(idle)).since > kept.since + PATIENCE / 2
    assert len(server.sessions) == 1


# What a server can do to a connection that waits


IDLE = {
    "says 421 and closes": "S: 421 4.3.2 shutting down\nS! close",
    "says 421 and waits": "S: 421 4.3.2 shutting down\nC: <eof>",
    "closes": "S! close",
    "resets": "S! reset",
    "says what nobody asked for": "S: 250 2.0.0 ok\nC: <eof>",
    "says half of it": "S! raw 25\nC: <eof>",
}


@pytest.mark.parametrize("offers", [(), ("PIPELINING", "CHUNKING")], ids=str)
@pytest.mark.parametrize("what", IDLE)
def test_after_a_server_has_left_an_idle_connection_the_next_mail_is_delivered_once_on_another(
    loop_kind: str, mailing: Mailing, retries: Retries, what: str, offers: Sequence[str]
) -> None:
    idles = Idles(IDLE[what], *offers)
    server, ref = mailing.begin(idles, polite(*offers))
    mailing.ask(ref)

    idles.go_on()
    outcome = mailing.ask(ref)

    assert isinstance(outcome, SendSuccess)
    assert outcome.attempts == 1
    assert len(retries.all) == 0
    assert mails_of(server) == [1, 1]
    assert server.accepted == 2


def test_a_mailer_notices_by_itself_that_an_idle_connection_is_gone(
    loop_kind: str, mailing: Mailing
) -> None:
    idles = Idles("S! close")
    ref = mailing.begin(idles)[1]
    mailing.ask(ref)
    assert mailing.statistics(ref).connections_idle == 1

    idles.go_on()

    assert wait_until(lambda: not mailing.statistics(ref).connections_idle, PATIENCE)
    assert wait_until(lambda: not connection_limit._in_use, PATIENCE)


class Blocker(AsyncioActor):
    """Keeps the loop from looking at its connections for as long as a message takes."""

    def on_receive(self, message: Any) -> Any:
        return message()


def _half_close(conn: Conn) -> None:
    conn._sock.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize(
    "did",
    [_half_close, Conn.reset, lambda conn: conn.send("421 4.3.2 bye"), lambda conn: conn.raw(b"2")],
    ids=["closed", "reset", "said_421", "said_a_part_of_something"],
)
def test_what_a_server_did_a_moment_ago_is_seen_before_a_whole_mail_goes_out(
    loop_kind: str, mailing: Mailing, did: Callable[[Conn], object]
) -> None:
    """The mail would be in doubt, and that without need."""
    offers = ("PIPELINING", "CHUNKING")
    idles = Idles(did, *offers)
    server, ref = mailing.begin(idles, polite(*offers), retry=NO_RETRY)
    mailing.ask(ref)
    assert mailing.statistics(ref).connections_idle == 1
    blocker = Blocker.start()

    def tell_right_after_that() -> None:
        idles.go_on()
        mailing.tell(ref)

    blocker.ask(tell_right_after_that, timeout=PATIENCE)
    blocker.stop(timeout=PATIENCE)

    assert mailing.kinds() == {"accepted": 2}
    assert mails_of(server) == [1, 1]


DIES_AT_MAIL = {
    "resets": "C: MAIL *\nS! reset",
    "closes": "C: MAIL *\nS! close",
    "says 421": "C: MAIL *\nS: 421 4.3.2 enough\nS! close",
    "says 421 and waits": "C: MAIL *\nS: 421 4.3.2 enough",
}


@pytest.mark.parametrize("offers", [(), ("PIPELINING",), ("CHUNKING",)], ids=str)
@pytest.mark.parametrize("dies", DIES_AT_MAIL)
def test_a_kept_connection_that_dies_at_mail_costs_nothing_but_another_connection(
    loop_kind: str, mailing: Mailing, retries: Retries, dies: str, offers: Sequence[str]
) -> None:
    server = mailing.serve(takes(1, DIES_AT_MAIL[dies], *offers), polite(*offers))
    ref = mailing.start(server, retry=NO_RETRY)
    mailing.ask(ref)

    outcome = mailing.ask(ref)

    assert isinstance(outcome, SendSuccess)
    assert outcome.attempts == 1
    assert len(retries.all) == 0
    assert mails_of(server) == [1, 1]
    assert server.accepted == 2


def test_it_costs_nothing_either_where_rset_comes_first(mailing: Mailing) -> None:
    refused = "C: MAIL *\nS: 250 ok\nC: RCPT *\nS: 550 who?\nC: RSET\nS! reset"
    ref = mailing.begin(takes(0, refused), polite(), retry=NO_RETRY)[1]

    assert [kind_of(mailing.ask(ref)) for _ in range(2)] == ["SMTP", "accepted"]


def test_421_to_mail_does_not_decide_a_speculative_transfer(
    mailing: Mailing,
) -> None:
    """With PIPELINING and CHUNKING the whole mail is out when MAIL is refused."""
    server = mailing.serve(
        takes(1, "C: MAIL *\nS: 421 4.3.2 enough\nS! close", "PIPELINING", "CHUNKING"),
        polite("PIPELINING", "CHUNKING"),
    )
    ref = mailing.start(server, retry=NO_RETRY)

    assert [kind_of(mailing.ask(ref)) for _ in range(2)] == ["accepted", "accepted"]
    assert server.accepted == 2


@pytest.mark.parametrize("end", ["S! reset", "S! close"])
def test_a_mail_that_went_out_in_one_go_is_not_sent_again_when_no_reply_comes(
    loop_kind: str, mailing: Mailing, end: str
) -> None:
    whole = f"C: MAIL *\nC: RCPT *\nC: BDAT *\nC: <chunk>\n{end}"
    server, ref = mailing.begin(takes(1, whole, "PIPELINING", "CHUNKING"), polite(), retry=SOON)
    mailing.ask(ref)

    outcome = mailing.ask(ref)

    assert (outcome.kind, outcome.maybe_accepted) == (FailureKind.CONNECTION, True)
    assert (outcome.retryable, outcome.attempts) == (False, 1)
    assert len(server.sessions) == 1


def test_a_fresh_connection_that_dies_at_mail_is_a_failure(
    loop_kind: str, mailing: Mailing
) -> None:
    """A kept connection that dies is tried again once, and not a second time."""
    dies = "C: MAIL *\nS! reset"
    server, ref = mailing.begin(takes(1, dies), takes(0, dies), polite(), retry=NO_RETRY)
    mailing.ask(ref)

    outcome = mailing.ask(ref)

    assert (outcome.kind, outcome.stage) == (FailureKind.CONNECTION, Stage.MAIL)
    assert (outcome.retryable, outcome.maybe_accepted) == (True, False)
    assert mails_of(server) == [1, 0]


@pytest.mark.parametrize("dies", DIES_AT_MAIL)
def test_a_connection_that_dies_at_its_first_mail_is_a_failure(
    loop_kind: str, mailing: Mailing, dies: str
) -> None:
    server, ref = mailing.begin(takes(0, DIES_AT_MAIL[dies]), polite(), retry=NO_RETRY)

    outcome = mailing.ask(ref)

    assert (outcome.stage, outcome.retryable, outcome.maybe_accepted) == (Stage.MAIL, True, False)
    assert len(server.sessions) == 1


def test_after_a_kept_connection_that_was_dead_the_next_is_a_fresh_one(mailing: Mailing) -> None:
    """Where one kept connection is dead, the others may be, too."""
    both = threading.Barrier(2)
    dies = parse_script(takes(1, "C: MAIL *\nS! reset"))
    first = next(n for n, step in enumerate(dies) if step.text == "DATA")

    def dies_after_one(conn: Conn) -> None:
        conn.play(dies[:first])
        both.wait(PATIENCE)  # so that there are two
        conn.play(dies[first:])

    server = mailing.serve(dies_after_one, dies_after_one, polite())
    ref = mailing.start(server, max_connections=2, retry=NO_RETRY)
    mailing.tell(ref, 2)
    assert mailing.kinds() == {"accepted": 2}
    assert wait_until(lambda: mailing.statistics(ref).connections_idle == 2, PATIENCE)

    assert isinstance(mailing.ask(ref), SendSuccess)

    assert mails_of(server) == [1, 1, 1]
    assert mailing.statistics(ref).connections_idle == 2


@pytest.mark.parametrize("end", ["S! reset", "S! close", "S: 421 enough\nS! close"])
@pytest.mark.parametrize("at", ["RCPT", "DATA"])
def test_once_mail_was_answered_a_connection_that_dies_is_a_failure_that_may_pass(
    mailing: Mailing, retries: Retries, end: str, at: str
) -> None:
    before = "C: MAIL *\nS: 250 ok\nC: RCPT *\n"
    if at == "DATA":
        before += "S: 250 ok\nC: DATA\n"
    server, ref = mailing.begin(takes(1, before + end), polite(), retry=SOON)
    mailing.ask(ref)

    outcome = mailing.ask(ref)

    assert isinstance(outcome, SendSuccess)
    assert outcome.attempts == 2
    # `ask` is answered before receivers run.
    assert wait_until(lambda: len(retries.all) == 1, PATIENCE)
    assert server.accepted == 2


AFTER_THE_DOT = TAKEN.replace("S: 250 taken\n", "")


@pytest.mark.parametrize("end", ["S! reset", "S! close", "S! silence", "S! raw 25\nS! close"])
def test_once_the_dot_is_out_a_mail_is_never_sent_again(
    loop_kind: str, mailing: Mailing, end: str
) -> None:
    server, ref = mailing.begin(takes(1, AFTER_THE_DOT + end), polite(), retry=SOON, timeout=0.3)
    mailing.ask(ref)

    outcome = mailing.ask(ref)

    assert (outcome.maybe_accepted, outcome.retryable, outcome.attempts) == (True, False, 1)
    assert mails_of(server) == [2]
    assert isinstance(mailing.ask(ref), SendSuccess)


def test_a_refusal_of_the_mail_data_by_421_is_tried_again_on_another_connection(
    mailing: Mailing,
) -> None:
    server = mailing.serve(takes(1, AFTER_THE_DOT + "S: 421 4.3.2 not now\nS! close"), polite())
    ref = mailing.start(server, retry=SOON)
    mailing.ask(ref)

    outcome = mailing.ask(ref)

    assert isinstance(outcome, SendSuccess)
    assert outcome.attempts == 2
    assert server.accepted == 2


def test_a_server_that_says_421_to_every_sixth_mail_gets_them_all_once(
    loop_kind: str, mailing: Mailing, retries: Retries
) -> None:
    server = mailing.serve(takes(5, "C: MAIL *\nS: 421 4.7.0 too many\nS! close"))
    ref = mailing.start(server, max_connections=2, retry=NO_RETRY)

    mailing.tell(ref, 40)

    assert mailing.kinds() == {"accepted": 40}
    assert {outcome.attempts for outcome in mailing.outcomes()} == {1}
    assert len(retries.all) == 0
    assert server.accepted == len(server.mails) == 40
    assert all(len(session.mails) <= 5 for session in server.sessions)


def test_what_comes_right_behind_a_verdict_is_never_the_reply_to_the_next_mail(
    mailing: Mailing,
) -> None:
    """Another 250, which might be taken for the reply to MAIL, and so on until the verdict."""
    behind = r"S! raw 250 taken\r\n250 ok\r\n250 ok\r\n354 go ahead\r\n250 taken\r\n"
    server = mailing.serve(takes(0, AFTER_THE_DOT + behind + "\nS! silence"), polite())
    ref = mailing.start(server, max_connections=1, retry=NO_RETRY)

    mailing.tell(ref, 2)
    first, second = mailing.outcomes()

    assert first.maybe_accepted
    assert isinstance(second, SendSuccess)
    assert [len(verbs(session)) for session in server.sessions] == [4, 4]


def test_replies_that_come_before_their_commands_never_make_a_success(
    loop_kind: str, mailing: Mailing
) -> None:
    """Behind a verdict, but each in a packet of its own: some come before MAIL, some after it."""
    behind = "S: 250 taken\nS: 250 ok\nS: 250 ok\nS: 354 go ahead\nS: 250 taken\nS! silence"
    server = mailing.serve(takes(0, AFTER_THE_DOT + behind))
    ref = mailing.start(server, max_connections=1, retry=NO_RETRY, timeout=0.5)

    mailing.tell(ref, 20)

    successes = [outcome for outcome in mailing.outcomes() if isinstance(outcome, SendSuccess)]
    assert len(successes) <= server.accepted
    assert all(len(session.mails) <= 1 for session in server.sessions)


# Under load


class Plug:
    """A polite server that can be pulled out, and put back: all its connections break.

    While it is out, who connects is hung up on.
    """

    def __init__(self, *offers: str) -> None:
        self._polite = polite(*offers)
        self._lock = threading.Lock()
        self._conns: list[Conn] = []
        self._is_out = False

    def __call__(self, conn: Conn) -> None:
        with self._lock:
            if self._is_out:
                return
            self._conns.append(conn)
        self._polite(conn)

    def pull(self) -> None:
        """Break all connections."""
        with self._lock:
            self._is_out = True
            conns, self._conns = self._conns, []
        for conn in conns:
            conn.abort()

    def put_back(self) -> None:
        """Serve again."""
        with self._lock:
            self._is_out = False


@pytest.mark.usefixtures("quick_probes")
@pytest.mark.parametrize("offers", [(), ("PIPELINING", "CHUNKING")], ids=str)
def test_a_server_that_restarts_under_load_gets_each_mail_and_none_twice_but_those_in_doubt(
    loop_kind: str, mailing: Mailing, offers: Sequence[str]
) -> None:
    plug = Plug(*offers)
    server, ref = mailing.begin(plug, retry=SOON, max_connections=8)
    mails = [mailing.tell(ref, sender=f"{n}@b.test")[0] for n in range(400)]

    for restart in range(1, 4):
        mailing.wait_for(80 * restart)
        plug.pull()
        server.wait_for(lambda: all(session.ended for session in server.sessions), PATIENCE)
        plug.put_back()

    accepted = Counter(mail.sender for mail in server.mails if mail.accepted)
    outcomes = mailing.outcomes()
    accepted = Counter(mail.sender for mail in server.mails if mail.accepted)
    for mail, outcome in zip(mails, outcomes, strict=True):
        if isinstance(outcome, SendSuccess):
            assert accepted[mail.sender] == 1
        else:
            assert outcome.maybe_accepted, outcome
            assert accepted[mail.sender] <= 1
    # Those in doubt are at most those that were on their way at each restart.
    assert len([o for o in outcomes if not isinstance(o, SendSuccess)]) <= 3 * 8


class Crowded:
    """A server that serves ten at a time, and turns all others away."""

    def __init__(self, most: int) -> None:
        self._polite = polite("PIPELINING")
        self._most = most
        self._lock = threading.Lock()
        self._now = self.highest = self.turned_away = 0
        self._served = 0

    def __call__(self, conn: Conn) -> None:
        with self._lock:
            self._now += 1
            self.highest = max(self.highest, self._now)
            is_welcome = self._served < self._most
            self._served += is_welcome
            self.turned_away += not is_welcome
        try:
            if is_welcome:
                self._polite(conn)
            else:
                conn.send("421 4.7.0 too many connections")
        finally:
            with self._lock:
                self._now -= 1
                self._served -= is_welcome


@pytest.mark.usefixtures("quick_probes")
def test_two_thousand_connections_wanted_of_a_server_that_takes_ten(
    loop_kind: str, mailing: Mailing, limit: Callable[[int], None]
) -> None:
    limit(40)
    crowded = Crowded(10)
    server = mailing.serve(crowded)
    ref = mailing.start(
        server,
        max_connections=2_000,
        initial_connections=2_000,
        max_mails_per_connection=50,
        retry=SOON,
    )

    mailing.tell(ref, 2_000)

    assert mailing.kinds(30.0) == {"accepted": 2_000}
    assert server.accepted == 2_000
    assert 10 <= crowded.highest <= 40
    assert crowded.turned_away > 0


def test_connections_that_are_never_served_do_not_keep_those_that_are_from_working(
    mailing: Mailing, smtp_sink: Start
) -> None:
    """smtp-sink accepts three; the system accepts the others for it, and nobody greets them."""
    ref = mailing.start(
        smtp_sink("-m", "3"),
        max_connections=12,
        initial_connections=12,
        max_mails_per_connection=10_000,
        timeout=0.5,
        retry=SOON,
    )

    mailing.tell(ref, 300)

    assert mailing.kinds() == {"accepted": 300}
    assert max(outcome.attempts for outcome in mailing.outcomes()) > 1


# The limit of the process


class Counting:
    """A polite server that counts its connections.

    Attributes:
        highest: how many there were at most at one time, over all servers that share it.
    """

    def __init__(self, *offers: str) -> None:
        self._polite = polite(*offers)
        self._lock = threading.Lock()
        self._now = self.highest = 0

    def __call__(self, conn: Conn) -> None:
        with self._lock:
            self._now += 1
            self.highest = max(self.highest, self._now)
        try:
            self._polite(conn)
        finally:
            with self._lock:
                self._now -= 1


def test_two_mailers_share_the_limit_without_starving_each_other(
    loop_kind: str, mailing: Mailing, limit: Callable[[int], None]
) -> None:
    limit(2)
    counting = Counting("PIPELINING")
    first, second = mailing.serve(counting), mailing.serve(counting)
    options: dict[str, Any] = {"max_mails_per_connection": 100_000}
    busy, late = mailing.start(first, **options), mailing.start(second, **options)
    mailing.tell(busy, 1_000)
    mailing.wait_for(20)

    with Clock(AT_ONCE):
        assert isinstance(mailing.ask(late), SendSuccess)

    done = len(mailing.so_far())
    assert done < 500, f"{done} mails of the other Mailer went before"
    assert mailing.kinds() == {"accepted": 1_001}
    # A connection ends here a moment after it has ended there, and the next may be here by then.
    # Without the limit there would be forty.
    assert counting.highest < 10


def test_two_mailers_with_long_queues_get_ahead_side_by_side(
    mailing: Mailing, limit: Callable[[int], None]
) -> None:
    limit(1)
    servers = [mailing.serve(), mailing.serve()]
    refs = [mailing.start(server, max_mails_per_connection=100_000) for server in servers]
    for ref, name in zip(refs, "ab", strict=True):
        mailing.tell(ref, 150, context=name)

    order = [outcome.context for outcome in mailing.wait_for(300)]

    # By the time one is through, the other has most of its mails out, too.
    through = min(len(order) - 1 - order[::-1].index(name) for name in "ab")
    assert through > 200


def test_who_waits_for_a_permit_gets_that_of_an_idle_connection_at_once(
    loop_kind: str, mailing: Mailing, server: ScriptedServer, limit: Callable[[int], None]
) -> None:
    limit(1)
    ref = mailing.start(server, idle_timeout=3600.0)
    mailing.ask(ref)
    assert mailing.statistics(ref).connections_idle == 1

    with Clock(AT_ONCE):
        outcome: Any = SmtpActor.start(server.host, server.port).ask(mailing.mail())

    mailing.mails.append(outcome.mail)
    assert isinstance(outcome, SendSuccess)
    assert verbs(server.sessions[0])[-1] == "QUIT"
    assert isinstance(mailing.ask(ref), SendSuccess)


@pytest.mark.parametrize("share", [5, 100], ids=["window", "limit"])
def test_a_mailer_never_has_more_connections_than_it_may(
    mailing: Mailing, share: int, limit: Callable[[int], None]
) -> None:
    limit(7)
    counting = Counting()
    ref = mailing.begin(counting, max_connections=share, initial_connections=share)[1]

    mailing.tell(ref, 300)

    assert mailing.kinds() == {"accepted": 300}
    assert counting.highest <= min(share, 7)


# TLS and AUTH


CREDENTIALS = {"username": "user", "password": "pa55word"}


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_sessions_with_tls_and_auth_are_kept_without_a_second_of_either(
    loop_kind: str, mailing: Mailing, certificates: Certificates, tls: str
) -> None:
    is_implicit = tls == "implicit"
    server = mailing.serve(
        polite(
            *(() if is_implicit else ("STARTTLS",)),
            *("AUTH PLAIN", "PIPELINING"),
            replies={"AUTH": "235 2.7.0 ok"},
            implicit_tls=is_implicit,
        ),
        context=server_context(Tls(certificate=certificates.good)),
    )
    ref = mailing.start(
        server, max_connections=1, tls=tls, tls_context=certificates.trusting(), **CREDENTIALS
    )

    mailing.tell(ref, 10)

    assert mailing.kinds() == {"accepted": 10}
    assert {outcome.peer.tls_verified for outcome in mailing.outcomes()} == {True}
    ref.stop(timeout=PATIENCE)
    server.wait_until_ended()
    opening = ["EHLO", "AUTH"] if is_implicit else ["EHLO", "STARTTLS", "EHLO", "AUTH"]
    assert len(server.sessions) == 1
    came = verbs(server.sessions[0])
    assert came == [*opening, *["MAIL", "RCPT", "DATA"] * 10, "QUIT"]


def test_a_real_server_keeps_a_session_with_tls_and_auth(
    mailing: Mailing, aiosmtpd_server: Start, certificates: Certificates
) -> None:
    server = aiosmtpd_server(
        tls=Tls(certificate=certificates.good), auth=["PLAIN"], users={"user": "pa55word"}
    )
    ref = mailing.start(
        server,
        max_connections=2,
        tls="starttls",
        tls_context=certificates.trusting(),
        debug=True,
        **CREDENTIALS,
    )

    mailing.tell(ref, 30)

    assert mailing.kinds() == {"accepted": 30}
    lines = [line for outcome in mailing.outcomes() for line in outcome.transcript]
    assert 1 <= sum(line.startswith("C: AUTH") for line in lines) <= 2


@pytest.mark.parametrize("end", ["S! reset", "S! close"])
@pytest.mark.parametrize("before", ["", "C: MAIL *\n"], ids=["idle", "at_mail"])
def test_a_kept_connection_with_tls_that_dies_costs_nothing_but_another_connection(
    loop_kind: str, mailing: Mailing, certificates: Certificates, before: str, end: str
) -> None:
    opening = "S! tls\n" + takes(1, "# nothing")
    first = parse_script(opening)
    gone = threading.Event()

    def dies(conn: Conn) -> None:
        conn.play(first)
        conn.play(parse_script(before + end))
        gone.set()

    server = mailing.serve(
        dies, polite(implicit_tls=True), context=server_context(Tls(certificate=certificates.good))
    )
    context = certificates.trusting()
    ref = mailing.start(server, tls="implicit", tls_context=context, retry=NO_RETRY)
    mailing.ask(ref)
    if not before:
        assert gone.wait(PATIENCE)

    outcome = mailing.ask(ref)

    assert isinstance(outcome, SendSuccess)
    assert outcome.attempts == 1
    assert mails_of(server) == [1, 1]


def test_a_server_that_never_answers_the_end_of_tls_keeps_no_permit_for_long(
    loop_kind: str,
    mailing: Mailing,
    certificates: Certificates,
    limit: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A connection with TLS is closed by both sides; half a minute is what the loops wait."""
    limit(1)
    monkeypatch.setattr(closing_module, "_CLOSING", 0.1)
    deaf = mailing.serve(
        "S! tls\n" + takes(1, "S! deaf"), context=server_context(Tls(certificate=certificates.good))
    )
    ref = mailing.start(deaf, tls="implicit", tls_context=certificates.trusting())
    mailing.ask(ref)
    other = mailing.start(mailing.serve())

    with Clock(AT_ONCE):
        assert isinstance(mailing.ask(other), SendSuccess)


def test_that_holds_where_the_mail_before_was_refused_amid_a_group_too(
    loop_kind: str,
    mailing: Mailing,
    certificates: Certificates,
    limit: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The verdict comes before the last reply: the clock for the farewell begins, and ends."""
    limit(1)
    monkeypatch.setattr(closing_module, "_CLOSING", 0.1)
    may_go_on = threading.Event()
    before = parse_script(
        "S! tls\n" + takes(0, "C: MAIL *\nC: RCPT *\nC: DATA\nS: 250 ok\nS: 550 who?", "PIPELINING")
    )

    def script(conn: Conn) -> None:
        conn.play(before)
        assert may_go_on.wait(PATIENCE)
        conn.send("503 no recipient")
        conn.deaf()

    deaf = mailing.serve(script, context=server_context(Tls(certificate=certificates.good)))
    ref = mailing.start(deaf, tls="implicit", tls_context=certificates.trusting())
    assert mailing.ask(ref).code == 550
    farewell_began = wait_until(
        lambda: any(getattr(w, "_close_at", None) for w in list(event_loop()._watched)), PATIENCE
    )
    assert farewell_began
    may_go_on.set()
    assert wait_until(lambda: mailing.statistics(ref).connections_idle, PATIENCE)
    other = mailing.start(mailing.serve())

    with Clock(AT_ONCE):
        assert isinstance(mailing.ask(other), SendSuccess)


# Destinations that are slow, or dead


def refuses(scripted_server: Start) -> Any:
    """Give a server that has been shut down."""
    with ScriptedServer() as server:
        pass
    return server


DESTINATIONS: dict[str, Callable[[Start], Any]] = {
    "refuses connections": refuses,
    "says nothing": lambda start: start("S! silence"),
    "says nothing after the data": lambda start: start(takes(0, AFTER_THE_DOT + "S! silence")),
    "reads nothing": lambda start: start("S! deaf"),
    "drips": lambda start: start("S! drip 220-…"),
    "resets": lambda start: start("S! reset"),
}


@pytest.mark.parametrize("kind", DESTINATIONS)
def test_a_slow_or_dead_destination_does_not_slow_another_mailer(
    mailing: Mailing, smtp_sink: Start, kind: str
) -> None:
    bad = mailing.start(DESTINATIONS[kind](mailing.serve), max_connections=20, grace=0.01)
    good = mailing.start(smtp_sink(), max_connections=4)
    mailing.tell(bad, 200)

    with Clock(AT_ONCE):
        mailing.tell(good, 200, context="good")
        assert mailing.drain(good)

    statistics = mailing.statistics(good)
    assert statistics.sent == 200
    assert (statistics.latency_max or 0) < AT_ONCE
    assert mailing.statistics(bad).sent == 0
    bad.stop(timeout=PATIENCE)
    good_ones = [outcome for outcome in mailing.outcomes() if outcome.context == "good"]
    assert [kind_of(outcome) for outcome in good_ones] == ["accepted"] * 200


def test_a_connection_that_is_left_open_and_is_of_no_use_to_its_mail_is_closed(
    scripted_server: Callable[..., ScriptedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = scripted_server(polite(replies={"no@d.test": "550 5.1.1 who?"}))
    monkeypatch.setattr(
        PooledSmtpActor, "_hit_stale_connection", lambda self, verdict: isinstance(verdict, Failed)
    )
    mailer = Mailer.start(server.host, server.port, tls="off", timeout=10, max_connections=1)

    outcome = mailer.ask(SendMail(sender="a@b.test", recipients="no@d.test"), timeout=10)
    mailer.stop()

    assert isinstance(outcome, SendFailure)
    assert (outcome.code, outcome.attempts) == (550, 1)
    assert len(server.sessions) == 2
