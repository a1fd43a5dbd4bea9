"""How a Mailer ends: stop, Drain, the end of the program, signals, fork, a machine that is full."""

import gc
import random
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pykka import ActorDeadError, ActorRegistry
from servers.certificates import Certificates, Tls, server_context
from servers.door import Door
from servers.mailing import Clock, Mailing, kind_of, ours
from servers.program import Program, Run
from servers.require import missing, require, require_root
from servers.scripted import Conn, ScriptedServer, polite
from servers.texts import up_to
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import Drain, FailureKind, Mailer, RetryPolicy, SendSuccess, Stage, smtp_send_retry
from pykka_smtp.actors.net.connection_limit import connection_limit

AT_ONCE = 2.0
"""Seconds for what has to happen at once, on a machine that has other things to do."""
START = 4.0
"""Seconds for a program that has to do something at once, its start included."""

Start = Callable[..., Any]

SILENT = "S! silence"
SILENT_AFTER_THE_DATA = up_to("body", "S! silence")


def have_come(server: ScriptedServer, count: int) -> None:
    """Wait until so many connections have been made."""
    server.wait_for(lambda: len(server.sessions) >= count, PATIENCE)


# stop


def test_stop_lets_what_is_under_way_finish_and_cancels_what_waits_at_once(
    loop_kind: str, mailing: Mailing, door: Door
) -> None:
    server, ref = mailing.begin(door, max_connections=3, grace=PATIENCE)
    mailing.tell(ref, 8)
    have_come(server, 3)

    stopped = ref.stop(block=False)
    cancelled = mailing.wait_for(5, AT_ONCE)

    assert [kind_of(outcome) for outcome in cancelled] == ["CANCELLED"] * 5
    assert {outcome.context for outcome in cancelled} == {3, 4, 5, 6, 7}
    assert {outcome.stage for outcome in cancelled} == {Stage.CONNECT}
    assert all(outcome.retryable and not outcome.maybe_accepted for outcome in cancelled)
    assert all(outcome.recipients[0].retryable for outcome in cancelled)
    assert ref.is_alive()
    door.open()
    assert stopped.get(timeout=PATIENCE) is True
    assert not ref.is_alive()
    assert mailing.kinds() == {"CANCELLED": 5, "accepted": 3}
    assert server.accepted == 3


def test_stop_waits_for_what_is_under_way(mailing: Mailing, door: Door) -> None:
    server, ref = mailing.begin(door, grace=PATIENCE)
    mailing.tell(ref)
    have_come(server, 1)
    opener = threading.Timer(0.05, door.open)
    opener.start()

    assert ref.stop(timeout=PATIENCE) is True

    assert mailing.kinds(AT_ONCE) == {"accepted": 1}
    opener.join(PATIENCE)


def test_mails_are_refused_from_the_stop_on(mailing: Mailing, door: Door) -> None:
    server, ref = mailing.begin(door, grace=PATIENCE)
    mailing.tell(ref)
    have_come(server, 1)
    ref.stop(block=False)

    with pytest.raises(ActorDeadError):
        ref.tell(mailing.mail())
    with pytest.raises(ActorDeadError):
        ref.ask(mailing.mail(), timeout=PATIENCE)

    door.open()
    assert mailing.kinds() == {"accepted": 1}


def test_mails_that_race_with_stop_raise_or_have_an_outcome(
    loop_kind: str, mailing: Mailing, smtp_sink: Start
) -> None:
    sink, taken, raised = smtp_sink(), 0, 0
    for _ in range(30):
        ref = mailing.start(sink)
        stopper = threading.Thread(target=ref.stop)
        mailing.tell(ref, 2)
        taken += 2
        stopper.start()
        for _ in range(20):
            mail = mailing.mail()
            try:
                ref.tell(mail)
            except ActorDeadError:
                raised += 1
            else:
                mailing.mails.append(mail)
                taken += 1
        stopper.join(PATIENCE)

    assert taken + raised == 30 * 22
    assert sum(mailing.kinds().values()) == taken


@pytest.mark.parametrize(
    ("script", "stage", "maybe"),
    [(SILENT, Stage.GREETING, False), (SILENT_AFTER_THE_DATA, Stage.DOT, True)],
    ids=["before_the_dot", "after_the_dot"],
)
def test_what_is_not_through_when_the_grace_is_over_is_cancelled(
    loop_kind: str, mailing: Mailing, script: str, stage: Stage, maybe: bool
) -> None:
    server, ref = mailing.begin(script, max_connections=3, grace=0.2)
    mailing.tell(ref, 5)
    have_come(server, 3)
    if maybe:
        server.wait_for(lambda: len(server.mails) == 3, PATIENCE)

    with Clock(0.2 + 1.0):
        assert ref.stop(timeout=PATIENCE) is True

    assert mailing.kinds() == {"CANCELLED": 5}
    begun = mailing.outcomes()[:3]
    assert {outcome.stage for outcome in begun} == {stage}
    assert {outcome.maybe_accepted for outcome in begun} == {maybe}
    assert {outcome.retryable for outcome in begun} == {not maybe}


def test_stop_can_be_asked_for_more_than_once_and_all_are_answered(
    mailing: Mailing, door: Door
) -> None:
    server, ref = mailing.begin(door, grace=PATIENCE)
    mailing.tell(ref)
    have_come(server, 1)

    answers = [ref.stop(block=False) for _ in range(3)]
    door.open()

    assert [answer.get(timeout=PATIENCE) for answer in answers] == [True] * 3
    assert ref.stop(timeout=PATIENCE) is False


def test_stop_without_a_mail_ever_is_done_at_once(mailing: Mailing) -> None:
    ref = mailing.start(mailing.serve(), grace=PATIENCE)

    with Clock(AT_ONCE):
        assert ref.stop(timeout=PATIENCE) is True


def test_stop_sends_quit_on_idle_connections(
    loop_kind: str, mailing: Mailing, server: ScriptedServer
) -> None:
    ref = mailing.start(server, idle_timeout=3600.0, max_connections=3)
    mailing.tell(ref, 30)
    mailing.outcomes()

    with Clock(AT_ONCE):
        ref.stop(timeout=PATIENCE)

    server.wait_until_ended()
    assert {session.lines[-1] for session in server.sessions} == {"QUIT"}


@pytest.fixture
def a_retry() -> Iterator[threading.Event]:
    """Is set once a mail is to be tried again."""
    heard = threading.Event()

    def hear(_sender: str, **_extra: object) -> None:
        heard.set()

    with smtp_send_retry.connected_to(hear):
        yield heard


def test_a_mail_that_waits_to_be_tried_again_is_cancelled_at_once(
    loop_kind: str, mailing: Mailing, a_retry: threading.Event
) -> None:
    server = mailing.serve(polite(replies={"RCPT": "450 4.2.0 greylisted"}))
    ref = mailing.start(server, retry=RetryPolicy(initial_delay=3600.0), grace=PATIENCE)
    mailing.tell(ref)
    assert a_retry.wait(PATIENCE)

    with Clock(AT_ONCE):
        ref.stop(timeout=PATIENCE)

    (outcome,) = mailing.outcomes()
    assert (outcome.kind, outcome.attempts, outcome.retryable) == (FailureKind.CANCELLED, 1, True)
    (result,) = outcome.recipients
    assert (result.reply.code, result.retryable) == (450, True)


def test_a_mail_that_some_have_got_is_a_success_when_it_is_stopped_before_the_rest_have(
    mailing: Mailing, a_retry: threading.Event
) -> None:
    server = mailing.serve(polite(replies={"later@x.test": "450 4.2.0 greylisted"}))
    ref = mailing.start(server, retry=RetryPolicy(initial_delay=3600.0))
    mailing.tell(ref, recipients=["now@x.test", "later@x.test"])
    assert a_retry.wait(PATIENCE)

    ref.stop(timeout=PATIENCE)

    (outcome,) = mailing.outcomes()
    assert isinstance(outcome, SendSuccess)
    assert [result.accepted for result in outcome.recipients] == [True, False]
    assert outcome.refused[0].retryable
    assert "stopped before it was sent" in outcome.warnings


def test_a_mail_that_is_refused_for_now_while_the_mailer_stops_fails_with_what_the_server_said(
    mailing: Mailing,
) -> None:
    may_refuse = threading.Event()

    def refuses(conn: Conn) -> None:
        conn.session.note("at the door")
        conn.wait(may_refuse)
        polite(replies={"MAIL": "451 4.3.0 later"})(conn)

    server, ref = mailing.begin(refuses, grace=PATIENCE)
    mailing.tell(ref)
    have_come(server, 1)
    stopped: Any = ref.stop(block=False)

    may_refuse.set()

    assert stopped.get(timeout=PATIENCE) is True
    (outcome,) = mailing.outcomes()
    assert (outcome.kind, outcome.code, outcome.attempts) == (FailureKind.SMTP, 451, 1)
    assert outcome.retryable


def test_mails_that_wait_for_their_rate_are_cancelled_at_once(mailing: Mailing) -> None:
    ref = mailing.start(mailing.serve(), rate="1/h", grace=PATIENCE)
    mailing.tell(ref, 3)
    mailing.wait_for(1)

    with Clock(AT_ONCE):
        ref.stop(timeout=PATIENCE)

    assert mailing.kinds() == {"accepted": 1, "CANCELLED": 2}


def test_mails_that_wait_for_a_permit_have_their_outcome_when_the_grace_is_over(
    loop_kind: str, mailing: Mailing, limit: Callable[[int], None]
) -> None:
    limit(1)
    server = mailing.serve(SILENT)
    hog, other = mailing.start(server, grace=0.01), mailing.start(server, grace=0.1)
    mailing.tell(hog)
    have_come(server, 1)
    mailing.tell(other, 3)
    assert wait_until(lambda: connection_limit.has_waiters, PATIENCE)

    with Clock(0.1 + 1.0):
        assert other.stop(timeout=PATIENCE) is True

    assert len(mailing.wait_for(3)) == 3
    assert not connection_limit.has_waiters
    hog.stop(timeout=PATIENCE)
    assert mailing.kinds() == {"CANCELLED": 4}


def test_a_mail_whose_file_is_just_being_opened_has_an_outcome(
    loop_kind: str, mailing: Mailing, tmp_path: Path
) -> None:
    """Opening a named pipe waits for its writer."""
    import os

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    ref = mailing.start(mailing.serve(), grace=0.1)
    mailing.tell(ref, message=pipe)
    assert wait_until(lambda: mailing.statistics(ref).in_flight, PATIENCE)

    with Clock(0.1 + 1.0):
        ref.stop(timeout=PATIENCE)

    assert mailing.kinds() == {"CANCELLED": 1}
    # Let the worker go, wherever it is: at the pipe, or on its way there.
    assert wait_until(lambda: _write_to(pipe) or not _files_worker(), PATIENCE)


def _write_to(pipe: Path) -> bool:
    import os

    try:
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def _files_worker() -> bool:
    return any(name.startswith("pykka-smtp-files") for name in ours())


def test_a_message_that_comes_too_late_has_an_outcome(mailing: Mailing) -> None:
    ref = mailing.start(mailing.serve())
    actor = ref._actor_weakref()
    assert actor is not None
    ref.stop(timeout=PATIENCE)
    late = mailing.mail()
    mailing.mails.append(late)

    # As in a thread that found the inbox open, and went on only now.
    actor.actor_inbox.closed = False
    ref.actor_inbox.put(_envelope(late))

    (outcome,) = mailing.outcomes()
    assert outcome.kind is FailureKind.CANCELLED
    assert outcome.detail == "the Mailer was stopped before it handled the email"


def _envelope(message: object) -> Any:
    from pykka._envelope import Envelope

    return Envelope(message)


def test_a_mail_that_slips_in_behind_a_stop_that_takes_its_time_is_cancelled_at_once(
    loop_kind: str, mailing: Mailing, door: Door
) -> None:
    server, ref = mailing.begin(door, grace=PATIENCE)
    mailing.tell(ref)
    have_come(server, 1)
    ref.stop(block=False)
    late = mailing.mail(context="late")
    mailing.mails.append(late)

    ref.actor_inbox.closed = False  # type: ignore[attr-defined]
    ref.actor_inbox.put(_envelope(late))

    (outcome,) = mailing.wait_for(1, AT_ONCE)
    assert outcome.mail is late
    assert outcome.kind is FailureKind.CANCELLED
    door.open()
    assert mailing.kinds() == {"CANCELLED": 1, "accepted": 1}


# Drain


def test_drain_is_answered_once_all_mails_are_out(
    loop_kind: str, mailing: Mailing, door: Door
) -> None:
    server, ref = mailing.begin(door, max_connections=2)
    mailing.tell(ref, 5)
    drained: Any = ref.ask(Drain(), block=False)
    have_come(server, 2)
    assert mailing.so_far() == []
    mailing.tell(ref, 5)

    door.open()

    assert drained.get(timeout=PATIENCE) is True
    # All are out by then, those told after it included; their signals come in a moment.
    assert mailing.statistics(ref).sent == 10
    assert mailing.kinds() == {"accepted": 10}


def test_drain_of_a_mailer_that_has_nothing_to_do_is_answered_at_once(mailing: Mailing) -> None:
    ref = mailing.start(mailing.serve())

    with Clock(AT_ONCE):
        assert ref.ask(Drain(), timeout=PATIENCE) is True
        assert ref.ask(Drain(timeout=0.001), timeout=PATIENCE) is True
        mailing.ask(ref)
        assert ref.ask(Drain(), timeout=PATIENCE) is True


def test_drain_that_takes_too_long_is_answered_with_false_and_the_mails_go_on(
    loop_kind: str, mailing: Mailing, door: Door
) -> None:
    ref = mailing.begin(door)[1]
    mailing.tell(ref, 3)

    with Clock(0.1 + 1.0):
        assert ref.ask(Drain(timeout=0.1), timeout=PATIENCE) is False

    assert mailing.so_far() == []
    door.open()
    assert ref.ask(Drain(timeout=PATIENCE), timeout=PATIENCE) is True
    assert mailing.kinds() == {"accepted": 3}


def test_several_can_wait_for_the_drain_each_with_a_timeout_of_its_own(
    mailing: Mailing, door: Door
) -> None:
    ref = mailing.start(mailing.serve(door))
    mailing.tell(ref, 3)

    patient: list[Any] = [ref.ask(Drain(timeout=PATIENCE), block=False) for _ in range(3)]
    hasty: list[Any] = [ref.ask(Drain(timeout=0.05), block=False) for _ in range(3)]

    assert [answer.get(timeout=PATIENCE) for answer in hasty] == [False] * 3
    door.open()
    assert [answer.get(timeout=PATIENCE) for answer in patient] == [True] * 3


def test_drain_waits_for_mails_that_wait_to_be_tried_again(
    mailing: Mailing, a_retry: threading.Event
) -> None:
    ref = mailing.start(
        mailing.serve(polite(replies={"MAIL": "451 4.3.0 later"}), polite()),
        retry=RetryPolicy(initial_delay=0.2, jitter=0.0),
        max_mails_per_connection=1,
    )
    mailing.tell(ref)
    assert a_retry.wait(PATIENCE)

    assert ref.ask(Drain(timeout=PATIENCE), timeout=PATIENCE) is True

    assert mailing.statistics(ref).sent == 1
    assert [outcome.attempts for outcome in mailing.outcomes()] == [2]


def test_drain_can_be_told_which_does_nothing(mailing: Mailing) -> None:
    ref = mailing.start(mailing.serve())

    ref.tell(Drain())

    assert isinstance(mailing.ask(ref), SendSuccess)


@pytest.mark.parametrize("script", [SILENT, None], ids=["cancelled", "finished"])
def test_whoever_waits_for_the_drain_of_a_mailer_that_is_stopped_is_answered(
    mailing: Mailing, door: Door, script: str | None
) -> None:
    server = mailing.serve(script or door)
    ref = mailing.start(server, max_connections=2, grace=0.1 if script else PATIENCE)
    mailing.tell(ref, 5)
    have_come(server, 2)
    drained: Any = ref.ask(Drain(), block=False)

    stopped: Any = ref.stop(block=False)
    if script is None:
        door.open()

    assert stopped.get(timeout=PATIENCE) is True
    assert drained.get(timeout=PATIENCE) is True  # nothing is left that waits for an outcome


# All actors at once


@pytest.mark.parametrize("kind", ["silent", "polite"])
def test_stop_all_with_a_hundred_under_way_gives_each_mail_its_outcome(
    loop_kind: str, mailing: Mailing, kind: str
) -> None:
    door = Door()
    server = mailing.serve(SILENT if kind == "silent" else door)
    ref = mailing.start(server, max_connections=100, initial_connections=100, grace=0.5)
    mailing.tell(ref, 150)
    have_come(server, 100)
    if kind == "polite":
        door.open()

    with Clock(0.5 + AT_ONCE):
        ActorRegistry.stop_all(timeout=PATIENCE)

    kinds = mailing.kinds()
    assert sum(kinds.values()) == 150
    assert kinds.keys() <= {"accepted", "CANCELLED"}
    assert ActorRegistry.get_all() == []
    assert server.accepted >= kinds.get("accepted", 0)


def test_stop_all_without_waiting_gives_each_mail_its_outcome_too(mailing: Mailing) -> None:
    server = mailing.serve(SILENT)
    refs = [mailing.start(server, max_connections=10, grace=0.1) for _ in range(3)]
    for ref in refs:
        mailing.tell(ref, 20)
    have_come(server, 10)

    ActorRegistry.stop_all(block=False)

    assert mailing.kinds() == {"CANCELLED": 60}


# What is left behind


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_after_hundreds_of_mails_nothing_is_left(
    loop_kind: str, mailing: Mailing, smtp_sink: Start, tmp_path: Path
) -> None:
    sink = smtp_sink()
    path = tmp_path / "mail"
    path.write_bytes(b"Subject: x\r\n\r\n" + b"from a file\r\n" * 2_000)
    before = _descriptors(), threading.active_count()

    for _ in range(2):
        ref = mailing.start(sink, max_mails_per_connection=20)
        mailing.tell(ref, 300)
        mailing.tell(ref, 30, message=path)
        mailing.outcomes()
        assert wait_until(lambda: ActorRegistry.get_all() == [ref], PATIENCE)  # noqa: B023
        assert mailing.statistics(ref).connections_idle <= 20
        ref.stop(timeout=PATIENCE)

    actors = [ref._actor_weakref for ref in mailing.refs]
    mailing.judge()
    gc.collect()
    assert [actor() for actor in actors] == [None, None]
    assert wait_until(lambda: (_descriptors(), threading.active_count()) <= before, PATIENCE)


# A machine that is full


@pytest.mark.parametrize(
    "thread",
    [
        "pykka-smtp-loop",
        "pykka-smtp-names",
        "pykka-smtp-files",
        "pykka-smtp-new-files",
        "pykka-smtp-dispatcher",
    ],
)
def test_a_mailer_that_gets_no_thread_raises_or_works_and_leaves_nothing(
    loop_kind: str,
    mailing: Mailing,
    server: ScriptedServer,
    no_thread: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    thread: str,
) -> None:
    no_thread(thread)

    if thread == "pykka-smtp-dispatcher":  # whoever has an outcome does its work
        assert isinstance(mailing.ask(mailing.start(server)), SendSuccess)
    else:
        with pytest.raises(RuntimeError, match="can't start new thread"):
            Mailer.start(server.host, server.port)
        assert ActorRegistry.get_all() == []
        assert wait_until(lambda: not ours(), PATIENCE)

    monkeypatch.undo()
    assert isinstance(mailing.ask(mailing.start(server)), SendSuccess)


def test_where_one_thread_in_five_does_not_start_each_mail_that_was_taken_has_an_outcome(
    loop_kind: str, mailing: Mailing, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, refused = threading.Thread.start, 0
    chance = random.Random(5)  # noqa: S311 - no secret

    def start_four_of_five(self: threading.Thread) -> None:
        if self.name.startswith("pykka-smtp") and chance.random() < 0.2:
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", start_four_of_five)
    for _ in range(12):
        try:
            ref = mailing.start(server)
        except RuntimeError:
            refused += 1
            assert ActorRegistry.get_all() == []
        else:
            mailing.tell(ref, 5)
            ref.ask(Drain(), timeout=PATIENCE)
            ref.stop(timeout=PATIENCE)
        assert wait_until(lambda: not ours(), PATIENCE)

    assert 0 < refused < 12
    assert mailing.kinds() == {"accepted": 5 * (12 - refused)}


# Whole programs


PRELUDE = """
import sys
import threading
from pykka_smtp import *
from pykka_smtp.actors.loop import loop_thread
from pykka_smtp.actors.mailer.connections import relay
from pykka_smtp.actors.mailer.capacity.concurrency import ConcurrencyWindow

loop_thread.TICK = 0.01
PORT = int(sys.argv[1])

def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\\n")
    sys.stdout.flush()

@smtp_send_success.connect
def sent(sender, outcome, **extra):
    say("mail", outcome.context, "accepted")

@smtp_send_failure.connect
def failed(sender, outcome, **extra):
    say("mail", outcome.context, outcome.kind.name)

def tell(ref, count):
    for number in range(count):
        ref.tell(mail(number))

def mail(context):
    return SendMail(sender="me@a.test", recipients="you@b.test", body="1 2 3", context=context)

def start(**options):
    return Mailer.start(**{"server": "127.0.0.1", "port": PORT} | options)
"""


def results(lines: Sequence[str], count: int) -> dict[str, int]:
    """Count the outcomes that a program has printed, by kind: one for each mail."""
    found = [line.split()[1:] for line in lines if line.startswith("mail ")]
    assert Counter(context for context, _ in found) == {str(n): 1 for n in range(count)}
    return dict(Counter(kind for _, kind in found))


# The end of the program

STRICT = ("-X", "dev", "-W", "error")

FIFTY = """
mailer = start(max_connections=50, initial_connections=50, grace={grace})
tell(mailer, {count})
sys.stdin.readline()
say("ends")
"""


def test_a_program_that_ends_with_fifty_mails_under_way_lets_them_finish(
    run: Run, door: Door
) -> None:
    server = run.serve(door)
    run.options = STRICT
    program = run(FIFTY.format(grace=PATIENCE, count=70))
    have_come(server, 50)
    program.tell("go on")
    program.wait_for("ends")
    lines = program.lines(20)  # what waited is cancelled before anything else
    program.count_from_now()

    door.open()
    lines += program.done(within=AT_ONCE)

    assert results(lines, 70) == {"accepted": 50, "CANCELLED": 20}
    assert server.accepted == 50


def test_a_program_that_ends_while_a_server_hangs_exits_when_the_grace_is_over(run: Run) -> None:
    server = run.serve(SILENT)
    run.options = STRICT
    program = run(FIFTY.format(grace=0.3, count=70))
    have_come(server, 50)
    program.count_from_now()

    program.tell("go on")

    assert results(program.done(within=0.3 + AT_ONCE), 70) == {"CANCELLED": 70}


@pytest.mark.parametrize("mails", [0, 5])
def test_a_program_with_a_mailer_that_has_nothing_to_do_exits_by_itself(
    run: Run, mails: int
) -> None:
    server = run.serve()
    run.options = STRICT
    program = run(f"mailer = start()\ntell(mailer, {mails})\nmailer.ask(Drain())\nsay('ends')")

    lines = program.done(within=START)

    assert results(lines, mails) == ({"accepted": mails} if mails else {})
    assert {session.lines[-1] for session in server.sessions} <= {"QUIT"}


def test_a_program_exits_although_a_server_never_answers_the_end_of_tls(
    run: Run, certificates: Certificates
) -> None:
    run.serve(
        "S! tls\n" + SILENT_AFTER_THE_DATA.replace("S! silence", "S: 250 taken\nS! deaf"),
        context=server_context(Tls(certificate=certificates.good)),
    )
    run.options = STRICT
    program = run(f"""
import ssl
context = ssl.create_default_context(cafile={str(certificates.ca)!r})
mailer = start(tls="implicit", tls_context=context)
mailer.ask(mail(0))
""")

    assert results(program.done(within=START), 1) == {"accepted": 1}


def test_a_mail_that_waits_to_be_tried_again_does_not_keep_a_program(run: Run) -> None:
    run.serve(polite(replies={"MAIL": "451 4.3.0 later"}))
    program = run("""
again = threading.Event()
smtp_send_retry.connect(lambda sender, **extra: again.set(), weak=False)
tell(start(), 1)
again.wait()
""")

    assert results(program.done(within=START), 1) == {"CANCELLED": 1}


def test_a_thread_of_the_program_can_tell_mails_until_it_ends_itself(run: Run) -> None:
    program = run("""
def work():
    threading.main_thread().join()
    say("alone")
    sys.stdin.readline()
    tell(mailer, 10)
    say("drained", mailer.ask(Drain()))

mailer = start()
threading.Thread(target=work).start()
""")
    program.wait_for("alone")
    program.tell("go on")

    lines = program.done(within=START)

    assert "drained True" in lines
    assert results(lines, 10) == {"accepted": 10}


@pytest.mark.parametrize(
    ("end", "status", "last"),
    [("sys.exit(3)", 3, ""), ("raise LookupError('a bug')", 1, "LookupError: a bug")],
)
def test_the_exit_status_stays_that_of_the_program(
    run: Run, end: str, status: int, last: str
) -> None:
    program = run(f"mailer = start()\nmailer.ask(mail(0))\n{end}")

    assert results(program.end(within=START), 1) == {"accepted": 1}
    assert program.status == status
    assert program.errors.splitlines()[-1:] == ([last] if last else [])


def test_a_receiver_cannot_keep_a_program_by_sending_again_what_was_cancelled(run: Run) -> None:
    server = run.serve(SILENT)
    program = run("""
@smtp_send_failure.connect
def again(sender, outcome, **extra):
    try:
        mailer.tell(outcome.mail)
        say("taken")
    except Exception as error:
        say(type(error).__name__)

mailer = start(grace=0.1)
tell(mailer, 3)
sys.stdin.readline()
""")
    have_come(server, 3)
    program.count_from_now()

    program.tell("go on")
    lines = program.done(within=0.1 + AT_ONCE)

    assert results(lines, 3) == {"CANCELLED": 3}
    assert Counter(lines)["ActorDeadError"] == 3


# Signals


def test_sigterm_in_a_program_that_stops_its_mailer_lets_fifty_mails_finish(
    run: Run, door: Door
) -> None:
    server = run.serve(door)
    run.options = STRICT
    program = run("""
import signal

end = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: end.set())
mailer = start(max_connections=50, initial_connections=50, grace=15)
tell(mailer, 70)
say("ready")
end.wait()
mailer.stop(block=False)
say("stopping")
""")
    program.wait_for("ready")
    have_come(server, 50)

    program.signal(signal.SIGTERM)
    lines = program.lines(21)
    assert "stopping" in lines
    door.open()
    lines += program.done(within=AT_ONCE)

    assert results(lines, 70) == {"accepted": 50, "CANCELLED": 20}
    assert server.accepted == 50


@pytest.mark.parametrize(
    "handler",
    ["sys.exit(143)", "mailer.stop(block=False); sys.exit(143)"],
    ids=["exits", "stops_and_exits"],
)
def test_sigterm_in_a_program_whose_handler_exits_ends_it_when_the_grace_is_over(
    run: Run, handler: str
) -> None:
    server = run.serve(SILENT)
    program = run(f"""
import signal
import time

def end(*_):
    {handler}

signal.signal(signal.SIGTERM, end)
mailer = start(max_connections=50, initial_connections=50, grace=0.3)
tell(mailer, 70)
say("ready")
time.sleep(60)
""")
    program.wait_for("ready")
    have_come(server, 50)

    program.signal(signal.SIGTERM)

    assert results(program.end(within=0.3 + AT_ONCE), 70) == {"CANCELLED": 70}
    assert (program.status, program.complaints) == (143, [])


@pytest.mark.parametrize(
    "main",
    ["import time; time.sleep(60)", "mailer.ask(Drain())", "mailer.stop()"],
    ids=["sleeps", "waits_for_the_drain", "waits_for_the_stop"],
)
def test_ctrl_c_ends_a_program_at_once_without_grace(run: Run, main: str) -> None:
    server = run.serve(SILENT_AFTER_THE_DATA)
    program = run(f"""
mailer = start(max_connections=50, initial_connections=50, grace=60)
tell(mailer, 70)
sys.stdin.readline()
say("ready")
{main}
""")
    server.wait_for(lambda: len(server.mails) == 50, PATIENCE)
    program.tell("go on")
    program.wait_for("ready")

    program.signal(signal.SIGINT)
    lines = program.end(within=AT_ONCE)

    assert results(lines, 70) == {"CANCELLED": 70}
    assert program.status == -signal.SIGINT
    assert program.errors.splitlines()[-1] == "KeyboardInterrupt"


def test_ctrl_c_while_a_program_waits_for_the_grace_ends_it_at_once(run: Run) -> None:
    server = run.serve(SILENT)
    program = run("""
def tell_main():
    threading.main_thread().join()
    say("waits")

threading.Thread(target=tell_main, daemon=True).start()
mailer = start(grace=60)
tell(mailer, 5)
sys.stdin.readline()
""")
    have_come(server, 5)
    program.tell("go on")
    program.wait_for("waits")

    program.signal(signal.SIGINT)

    assert results(program.end(within=AT_ONCE), 5) == {"CANCELLED": 5}
    assert "Traceback" not in program.errors or "KeyboardInterrupt" in program.errors


# fork

FORKS = """
import os
import warnings
warnings.simplefilter("ignore")

def end_child(child):
    say("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.fixture
def forks(run: Run) -> Run:
    """Run programs that fork."""
    run.prelude += FORKS
    return run


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_after_a_fork_the_child_has_nothing_of_the_pool_and_no_octet_of_its_goes_there(
    forks: Run, certificates: Certificates, tls: bool
) -> None:
    server = forks.serve(
        polite(implicit_tls=tls), context=server_context(Tls(certificate=certificates.good))
    )
    forks.prelude += f"""
from pykka import ActorDeadError, ActorRegistry
options = dict(max_connections=3)
if {tls}:
    import ssl
    context = ssl.create_default_context(cafile={str(certificates.ca)!r})
    options |= dict(tls="implicit", tls_context=context)
"""
    program = forks("""
mailer = start(**options)
tell(mailer, 30)
mailer.ask(Drain())
while mailer.ask(Statistics()).connections_busy:
    pass
say("full")
sys.stdin.readline()
if child := os.fork():
    end_child(child)
    for number in range(31, 61):
        mailer.tell(mail(number))
    mailer.ask(Drain())
    mailer.stop()
else:
    assert ActorRegistry.get_all() == []
    assert not mailer.is_alive()
    try:
        mailer.tell(mail("lost"))
    except ActorDeadError:
        own = start(**options)
        own.ask(mail(30))
        own.stop()
""")
    lines = program.lines(31)
    assert "full" in lines
    pool = len(server.sessions)
    before = [session.lines for session in server.sessions]

    program.tell("fork")
    program.wait_for("mail 30 accepted")
    program.wait_for("child 0")
    lines += program.done()

    assert results([*lines, "mail 30 accepted"], 61) == {"accepted": 61}
    # The parent went on with its pool, on which nothing was said but its own.
    assert len(server.sessions) == pool + 1
    child = server.sessions[pool]
    assert [mail.data.count(b"\n") > 0 for mail in child.mails] == [True]
    for session, lines_before in zip(server.sessions[:pool], before, strict=True):
        said = [line.split()[0] for line in session.lines]
        mails = len(session.mails)
        assert said == ["EHLO", *["MAIL", "RCPT", "DATA"] * mails, "QUIT"]
        assert session.lines[: len(lines_before)] == lines_before
    assert sum(len(session.mails) for session in server.sessions[:pool]) == 60


def test_a_child_that_lives_on_does_not_keep_the_parents_pool_open(forks: Run) -> None:
    server = forks.serve()
    program = forks("""
mailer = start(max_connections=3)
tell(mailer, 30)
mailer.ask(Drain())
child = os.fork()
if not child:
    sys.stdin.readline()
    sys.exit()
mailer.stop()
say("stopped")
end_child(child)
""")
    lines = program.lines(31)
    assert "stopped" in lines

    server.wait_until_ended(1, AT_ONCE)  # which is when the client has closed
    program.tell("end")

    assert results(lines + program.done(), 30) == {"accepted": 30}


def test_a_fork_amid_mails_leaves_each_with_one_outcome_in_the_parent(
    forks: Run, door: Door
) -> None:
    server = forks.serve(door)
    program = forks("""
set_connection_limit(4)
mailer = start(max_connections=4)
tell(mailer, 20)
sys.stdin.readline()
if child := os.fork():
    end_child(child)
    mailer.ask(Drain())
else:
    own = start(port=int(sys.argv[1]), max_connections=4)
    os._exit(0 if own.stop() else 1)
""")
    have_come(server, 4)
    program.tell("fork")
    program.wait_for("child 0")
    assert all(session.lines == () for session in server.sessions)
    door.open()

    assert results(program.done(), 20) == {"accepted": 20}


# Few descriptors


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_with_few_descriptors_five_hundred_mails_are_all_delivered(
    run: Run, smtp_sink: Start, host: str
) -> None:
    run.server = smtp_sink()
    program = run(f"""
import functools
import resource

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
set_connection_limit(1000)
relay.ConcurrencyWindow = functools.partial(ConcurrencyWindow, pause=0.02, longest_pause=0.1)
mailer = start(
    server={host!r},
    max_connections=200,
    initial_connections=200,
    retry=RetryPolicy(max_attempts=100, initial_delay=0.02, multiplier=1.2, max_delay=0.2),
)
tell(mailer, 500)
mailer.ask(Drain())
found = mailer.ask(Statistics())
say("retries" if found.retries else "no retries")
mailer.stop()
""")

    lines = program.end()

    assert results(lines, 500) == {"accepted": 500}
    assert "retries" in lines  # or there was no shortage
    assert program.status == 0
    assert "Traceback" not in program.errors


def test_with_few_descriptors_and_no_retries_each_mail_has_an_outcome_that_says_so(
    run: Run, smtp_sink: Start
) -> None:
    run.server = smtp_sink()
    program = run("""
import resource

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
set_connection_limit(1000)
details = set()
smtp_send_failure.connect(lambda sender, outcome: details.add(outcome.detail), weak=False)
mailer = start(max_connections=200, initial_connections=200, retry=NO_RETRY)
tell(mailer, 500)
mailer.ask(Drain())
mailer.stop()
""")

    kinds = results(program.end(), 500)

    assert kinds.keys() <= {"accepted", "CONNECT"}
    assert kinds["CONNECT"] > 0
    assert program.status == 0
    assert "Traceback" not in program.errors


# Few ports


def test_with_five_ports_two_hundred_mails_are_all_delivered(program_loop: str) -> None:
    """In a network of the program's own, where no other needs the ports."""
    require_root()
    script = """
import fcntl
import functools
import socket
import struct
from pathlib import Path

sys.path.insert(0, sys.argv[2])
from servers.scripted import ScriptedServer

UP = struct.pack("16sh", b"lo", 1)
with socket.socket() as sock:
    fcntl.ioctl(sock, 0x8914, UP)  # SIOCSIFFLAGS, IFF_UP
relay.ConcurrencyWindow = functools.partial(ConcurrencyWindow, pause=0.02, longest_pause=0.1)
errors = set()

@smtp_send_retry.connect
def again(sender, outcome, **extra):
    errors.add(outcome.detail)

with ScriptedServer() as server:
    Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("40000 40004")
    mailer = start(
        port=server.port,
        max_connections=20,
        initial_connections=20,
        retry=RetryPolicy(max_attempts=200, initial_delay=0.02, multiplier=1.2, max_delay=0.2),
    )
    tell(mailer, 200)
    mailer.ask(Drain())
    mailer.stop()
say("accepted", server.accepted, "on", len(server.sessions) <= 10)
say("retries", any("Cannot assign requested address" in error for error in errors))
"""
    tests = Path(__file__).parents[2]
    wrapper = (require("unshare"), "--net")
    if subprocess.run([*wrapper, "true"], check=False, capture_output=True).returncode:
        missing("may not make a network of its own")
    with Program(PRELUDE + script, 0, tests, loop=program_loop, wrapper=wrapper) as program:
        lines = program.end()

    assert program.complaints == []
    assert results(lines, 200) == {"accepted": 200}
    assert "accepted 200 on True" in lines
    assert "retries True" in lines  # or there was no shortage
