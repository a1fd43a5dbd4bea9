"""The life of a whole program: its end, Ctrl-C, fork. Each test runs a program of its own."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from servers.door import Door
from servers.program import Program, Run
from servers.scripted import ScriptedServer, polite
from servers.texts import up_to
from servers.waiting import PATIENCE

AT_ONCE = 4.0
"""Seconds for what has to happen within one, on a machine that has other things to do."""

PRELUDE = """
import sys
from pykka_smtp import SendMail, SmtpActor, smtp_send_failure, smtp_send_success

def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\\n")
    sys.stdout.flush()

@smtp_send_success.connect
def sent(sender, outcome, **extra):
    say("accepted", outcome.code)

@smtp_send_failure.connect
def failed(sender, outcome, **extra):
    say(outcome.kind.name, outcome.stage, "maybe" if outcome.maybe_accepted else "not", "accepted")

def mail(**options):
    return SendMail(sender="me@a.test", recipients="you@b.test", body="1 2 3", **options)

from pykka_smtp.actors.loop import loop_thread
loop_thread.TICK = 0.01
PORT = int(sys.argv[1])
"""


# The end of the program

FIVE_LINES = """
from pykka_smtp import SendMail, SmtpActor, smtp_send_success
smtp_send_success.connect(sent := lambda sender, outcome, **_: print("accepted:", outcome.reply))
mail = SendMail(sender="me@example.com", recipients="you@example.org", body="1 2 3 4 5 6")
SmtpActor.start("localhost", int(__import__("sys").argv[1])).tell(mail)
"""


def test_a_script_that_ends_right_after_tell_delivers_to_a_host_name_and_exits_by_itself(
    run: Run,
) -> None:
    run.prelude = ""
    server = run.serve()

    program = run(FIVE_LINES)

    assert program.done(within=AT_ONCE) == ["accepted: 250 2.0.0 taken"]
    assert server.accepted == 1


def test_under_dev_mode_with_all_warnings_as_errors_nothing_is_on_stderr(run: Run) -> None:
    run.serve(polite(), polite(replies={"you@b.test": "550 5.1.1 who?"}))
    run.options = ("-X", "dev", "-W", "error")
    program = run("""
SmtpActor.start("localhost", PORT).ask(mail())
SmtpActor.start("localhost", PORT).tell(mail())
SmtpActor.start("127.0.0.1", 1).tell(mail())
""")

    lines = program.end(within=AT_ONCE)
    assert sorted(lines) == [
        "CONNECT connect not accepted",
        "SMTP rcpt not accepted",
        "accepted 250",
    ]
    # On a busy machine asyncio tells that a step took its time; that is no complaint about us.
    complaints = [line for line in program.errors.splitlines() if "Executing <" not in line]
    assert (program.status, complaints) == (0, [])


def test_a_receiver_can_send_another_mail_after_the_main_thread_has_ended(run: Run) -> None:
    server = run.serve(polite(replies={".": "451 4.3.0 later"}), polite())

    program = run("""
import threading

@smtp_send_failure.connect
def send_again(sender, outcome, **extra):
    threading.main_thread().join()
    SmtpActor.start("localhost", PORT).tell(outcome.mail)

SmtpActor.start("localhost", PORT).tell(mail())
""")

    lines = program.done(within=AT_ONCE)
    assert sorted(lines) == ["SMTP dot not accepted", "accepted 250"]
    assert server.accepted == 1


def test_a_receiver_that_takes_its_time_is_waited_for(run: Run) -> None:
    server = run.serve()

    program = run("""
@smtp_send_success.connect
def slow(sender, outcome, **extra):
    say("heard", sys.stdin.readline().strip())

SmtpActor.start("localhost", PORT).tell(mail())
""")
    server.wait_until_ended()
    program.wait_for("accepted 250")
    assert program.process.poll() is None
    program.tell("at last")

    assert program.done() == ["heard at last"]


def test_outcomes_come_one_by_one_to_a_program_whose_main_thread_has_ended(run: Run) -> None:
    program = run("for _ in range(50): SmtpActor.start('localhost', PORT).tell(mail())")

    assert program.done(within=AT_ONCE) == ["accepted 250"] * 50


def test_sys_exit_keeps_its_status_and_the_mail_is_delivered(run: Run) -> None:
    program = run("SmtpActor.start('localhost', PORT).tell(mail())\nsys.exit(3)")

    assert program.end(within=AT_ONCE) == ["accepted 250"]
    assert (program.status, program.errors) == (3, "")


def test_an_uncaught_exception_in_the_main_thread_does_not_keep_the_mail_from_being_delivered(
    run: Run,
) -> None:
    program = run("SmtpActor.start('localhost', PORT).tell(mail())\nraise LookupError('a bug')")

    assert program.end(within=AT_ONCE) == ["accepted 250"]
    assert program.status == 1
    assert program.errors.splitlines()[-1] == "LookupError: a bug"


def test_a_thread_can_send_after_the_main_thread_has_ended(run: Run) -> None:
    server = run.serve()

    program = run("""
import threading

def later():
    threading.main_thread().join()
    sys.stdin.readline()
    say("asked", SmtpActor.start("localhost", PORT).ask(mail()).code)

threading.Thread(target=later).start()
SmtpActor.start("localhost", PORT).tell(mail())
""")
    program.wait_for("accepted 250")
    server.wait_until_ended()
    program.tell("go on")

    assert sorted(program.done()) == ["accepted 250", "asked 250"]


def test_a_send_from_an_exit_function_has_an_outcome_or_raises(run: Run) -> None:
    # Registered before ours, and so run after it.
    run.prelude = "import atexit\natexit.register(lambda: at_exit())\n" + PRELUDE
    program = run("""
def at_exit():
    try:
        SmtpActor.start("localhost", PORT).tell(mail())
    except RuntimeError as error:
        say("raised:", error)
""")

    assert program.done(within=AT_ONCE) == [
        "raised: the program is ending: no actor can be started any more"
    ]


def test_a_send_from_an_exit_function_that_runs_before_ours_is_cancelled_or_raises(
    run: Run,
) -> None:
    run.serve(Door())
    program = run("""
import atexit

@atexit.register
def at_exit():
    try:
        SmtpActor.start("localhost", PORT).tell(mail())
    except RuntimeError as error:
        say("raised")
""")

    # From Python 3.12 on no thread starts at that time.
    [line] = program.done(within=AT_ONCE)
    assert line in {"CANCELLED connect not accepted", "CANCELLED greeting not accepted", "raised"}


# Ctrl-C

GREETS = "S: 220 mx.test ESMTP\nC: EHLO *\nS! silence"
TAKES_THE_MAIL = up_to("body", "S! silence")


def wait_for_the_dot(server: ScriptedServer) -> None:
    server.wait_for(lambda: server.mails, PATIENCE)


def wait_for_ehlo(server: ScriptedServer) -> None:
    server.wait_for(lambda: server.lines, PATIENCE)


@pytest.mark.parametrize(
    ("script", "wait", "outcome"),
    [
        (GREETS, wait_for_ehlo, "CANCELLED ehlo not accepted"),
        (TAKES_THE_MAIL, wait_for_the_dot, "CANCELLED dot maybe accepted"),
    ],
    ids=["before_the_dot", "after_the_dot"],
)
@pytest.mark.parametrize(
    "main",
    [
        "SmtpActor.start('localhost', PORT).tell(mail())\nimport time\ntime.sleep(60)",
        "SmtpActor.start('localhost', PORT).ask(mail())",
    ],
    ids=["while_main_sleeps", "while_main_asks"],
)
def test_ctrl_c_ends_the_program_at_once_with_one_outcome(
    run: Run, main: str, script: str, wait: Callable[[ScriptedServer], None], outcome: str
) -> None:
    server = run.serve(script)
    program = run(main)
    wait(server)

    program.signal(signal.SIGINT)

    assert program.end(within=AT_ONCE) == [outcome]
    assert program.status == -signal.SIGINT
    assert program.errors.splitlines()[-1] == "KeyboardInterrupt"
    server.wait_until_ended()


WAITS_AT_ITS_END = """
import threading

def tell():
    threading.main_thread().join()
    say("the interpreter waits")

threading.Thread(target=tell, daemon=True).start()
SmtpActor.start("localhost", PORT).tell(mail())
"""


@pytest.mark.parametrize(
    ("script", "wait", "outcome"),
    [
        (GREETS, wait_for_ehlo, "CANCELLED ehlo not accepted"),
        (TAKES_THE_MAIL, wait_for_the_dot, "CANCELLED dot maybe accepted"),
    ],
    ids=["before_the_dot", "after_the_dot"],
)
def test_ctrl_c_while_the_interpreter_waits_at_its_end_ends_it_at_once_with_one_outcome(
    run: Run, script: str, wait: Callable[[ScriptedServer], None], outcome: str
) -> None:
    server = run.serve(script)
    program = run(WAITS_AT_ITS_END)
    program.wait_for("the interpreter waits")
    wait(server)

    program.signal(signal.SIGINT)

    assert program.end(within=AT_ONCE) == [outcome]
    assert "Traceback" not in program.errors or "KeyboardInterrupt" in program.errors
    server.wait_until_ended()


def test_a_receiver_that_sends_again_what_ctrl_c_has_cancelled_does_not_keep_the_program(
    run: Run,
) -> None:
    server = run.serve(GREETS)
    program = run("""
@smtp_send_failure.connect
def send_again(sender, outcome, **extra):
    try:
        SmtpActor.start("localhost", PORT).tell(outcome.mail)
    except RuntimeError as error:
        say(error)

SmtpActor.start("localhost", PORT).ask(mail())
""")
    wait_for_ehlo(server)

    program.signal(signal.SIGINT)

    assert sorted(program.end(within=AT_ONCE)) == [
        "CANCELLED ehlo not accepted",
        "the program is ending: no actor can be started any more",
    ]


def test_a_receiver_that_hangs_does_not_keep_an_interrupted_program(run: Run) -> None:
    program = run("""
import threading

@smtp_send_success.connect
def hang(sender, outcome, **extra):
    say("hangs")
    threading.Event().wait(60)

SmtpActor.start("localhost", PORT).tell(mail())
""")
    program.wait_for("accepted 250")
    program.wait_for("hangs")

    # The first ends the main thread's wait for ours; the interpreter may then wait for its own.
    for _ in range(3):
        program.signal(signal.SIGINT)
        try:
            program.process.wait(AT_ONCE)
            break
        except subprocess.TimeoutExpired:
            continue

    assert program.end() == []


def test_a_program_that_handles_ctrl_c_itself_goes_on_and_delivers(run: Run, door: Door) -> None:
    server = run.serve(door)
    program = run("""
import time

SmtpActor.start("localhost", PORT).tell(mail())
try:
    say("sleeping")
    time.sleep(60)
except KeyboardInterrupt:
    say("handled")
""")
    program.wait_for("sleeping")
    server.wait_for(lambda: server.sessions)

    program.signal(signal.SIGINT)
    program.wait_for("handled")
    door.open()

    assert program.done() == ["accepted 250"]


# fork

FORKS = """
import os
import warnings
warnings.simplefilter("ignore")
from pykka_smtp import set_connection_limit

def who(text):
    say("child" if os.getpid() != parent else "parent", text)

parent = os.getpid()
smtp_send_success.disconnect(sent)
smtp_send_failure.disconnect(failed)
smtp_send_success.connect(said := lambda sender, outcome, **_: who(outcome.context))
smtp_send_failure.connect(said)
"""


@pytest.fixture
def forks(run: Run) -> Run:
    """Run programs that fork."""
    run.prelude += FORKS
    return run


def test_after_a_fork_parent_and_child_both_send_and_the_parents_outcome_comes_once(
    forks: Run, door: Door
) -> None:
    server = forks.serve(door, polite())
    program = forks("""
SmtpActor.start("localhost", PORT).tell(mail(context="in flight"))
sys.stdin.readline()
child = os.fork()
if not child:
    SmtpActor.start("localhost", PORT).tell(mail(context="its own"))
else:
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    who(f"saw the child end with {status}")
""")
    server.wait_for(lambda: server.sessions)
    program.tell("fork")
    program.wait_for("child its own")
    program.wait_for("parent saw the child end with 0")
    assert not server.sessions[0].lines
    door.open()

    assert program.done() == ["parent in flight"]
    assert server.accepted == 2
    assert [line.split()[0] for line in server.sessions[0].lines] == [
        *("EHLO", "MAIL", "RCPT", "DATA", "QUIT")
    ]


def test_a_child_does_not_wait_for_the_permits_that_its_parent_holds(
    forks: Run, door: Door
) -> None:
    server = forks.serve(door, polite())
    program = forks("""
set_connection_limit(1)
SmtpActor.start("localhost", PORT).tell(mail(context="in flight"))
SmtpActor.start("localhost", PORT).tell(mail(context="waits for its turn"))
sys.stdin.readline()
child = os.fork()
if not child:
    SmtpActor.start("localhost", PORT).tell(mail(context="its own"))
else:
    os.waitpid(child, 0)
""")
    server.wait_for(lambda: server.sessions)
    program.tell("fork")
    program.wait_for("child its own")
    door.open()

    assert program.done() == ["parent in flight", "parent waits for its turn"]
    assert server.accepted == 3


def test_a_child_that_lives_on_does_not_keep_the_parents_connection_open(forks: Run) -> None:
    server = forks.serve(GREETS)
    program = forks("""
ref = SmtpActor.start("localhost", PORT)
ref.tell(mail(context="in flight"))
sys.stdin.readline()
child = os.fork()
if not child:
    sys.stdin.readline()
    who("ends")
    sys.exit()
ref.stop()
os.waitpid(child, 0)
""")
    wait_for_ehlo(server)
    program.tell("fork")
    program.wait_for("parent in flight")

    server.wait_until_ended()
    program.tell("end")

    assert program.done() == ["child ends"]


@pytest.mark.parametrize("who", ["SmtpActor", "Mailer"])
def test_a_child_knows_no_actor_that_its_parent_had_only_half_started_at_the_fork(
    forks: Run, who: str
) -> None:
    """Stopped in the child, it would have another outcome there."""
    forks.serve()
    program = forks(f"""
import threading
from pykka import ActorRegistry
from pykka_smtp import Mailer
from pykka_smtp.actors.loop.loop_thread import EventLoopThread

is_half, may_go_on = threading.Event(), threading.Event()

def half(name):
    whole = getattr(EventLoopThread, name)
    def pause(self, actor):
        if type(actor).__name__ in ("SmtpActor", "PooledSmtpActor"):
            is_half.set()
            may_go_on.wait(10)
        whole(self, actor)
    setattr(EventLoopThread, name, pause)

half("register")
half("register_and_schedule")
start = {who}.start
sender = threading.Thread(target=lambda: start("localhost", PORT).tell(mail(context="once")))
sender.start()
is_half.wait(10)
count = len(ActorRegistry.get_all())
child = os.fork()
if not child:
    who(len(ActorRegistry.get_all()))
    ActorRegistry.stop_all(timeout=5)
    os._exit(0)
os.waitpid(child, 0)
may_go_on.set()
sender.join()
smtp_send_success.connect(end := lambda sender, **_: ActorRegistry.stop_all(block=False))
who(count)
""")
    lines = program.done()

    assert lines[0] == "child 0"
    assert sorted(lines[1:]) == [f"parent {2 if who == 'Mailer' else 1}", "parent once"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_child_can_end_without_a_word_while_its_parent_sends(
    forks: Run, door: Door, host: str
) -> None:
    server = forks.serve(door)
    program = forks(f"""
SmtpActor.start("{host}", PORT).tell(mail(context="in flight"))
sys.stdin.readline()
child = os.fork()
if child:
    who(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""")
    server.wait_for(lambda: server.sessions)
    program.tell("fork")
    program.wait_for("parent 0")
    door.open()

    assert program.done() == ["parent in flight"]


def test_a_process_of_multiprocessing_that_is_forked_can_send_too(forks: Run, door: Door) -> None:
    server = forks.serve(door, polite())
    program = forks("""
import multiprocessing

def work():
    SmtpActor.start("localhost", PORT).ask(mail(context="asked"))
    SmtpActor.start("localhost", PORT).tell(mail(context="told"))

SmtpActor.start("localhost", PORT).tell(mail(context="in flight"))
sys.stdin.readline()
process = multiprocessing.get_context("fork").Process(target=work)
process.start()
process.join()
who(process.exitcode)
""")
    server.wait_for(lambda: server.sessions)
    program.tell("fork")
    program.wait_for("child asked")
    program.wait_for("child told")
    program.wait_for("parent 0")
    door.open()

    assert program.done() == ["parent in flight"]
    assert server.accepted == 3


def test_an_actor_can_start_a_process_from_the_loops_own_thread(forks: Run) -> None:
    server = forks.serve()
    program = forks("""
from pykka_smtp import AsyncioActor

class Forker(AsyncioActor):
    def on_receive(self, message):
        child = os.fork()
        if not child:
            SmtpActor.start("localhost", PORT).ask(mail(context="its own"))
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

ref = Forker.start()
who(ref.ask("fork"))
SmtpActor.start("localhost", PORT).tell(mail(context="after it"))
ref.stop()
""")

    lines = program.done(within=AT_ONCE)
    assert lines[-2:] == ["parent 0", "parent after it"]
    # The child may have left before its receiver was called.
    assert lines[:-2] in ([], ["child its own"])
    assert server.accepted == 2


# fork behind Python's back, as by uWSGI's master

HOOKLESS = """
import ctypes
from pykka import ActorDeadError

# A thread that wants the interpreter in the very moment of such a fork leaves a child that hangs:
# that is between Python and whoever forks.
loop_thread.TICK = 0.5

def fork():
    # With the interpreter held, and with none of Python's hooks.
    return ctypes.PyDLL(None).fork()

def wait_for(child):
    who(f"saw the child end with {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}")
"""


@pytest.fixture
def hookless(forks: Run) -> Run:
    """Run programs that fork behind Python's back."""
    forks.prelude += HOOKLESS
    return forks


def test_children_of_a_fork_without_hooks_make_ids_and_urns_of_their_own(hookless: Run) -> None:
    program = hookless("""
from pykka_smtp import AsyncioActor
from pykka_smtp.signals.send_mail import new_id

new_id()
for _ in range(4):
    child = fork()
    if not child:
        say(new_id(), AsyncioActor.start().actor_urn)
        os._exit(0)
    os.waitpid(child, 0)
say(new_id(), AsyncioActor.start().actor_urn)
os._exit(0)
""")

    lines = [line.split() for line in program.end()]
    assert len(lines) == 5
    assert len({mail_id[:16] for mail_id, _ in lines}) == 5
    assert len({urn[:32] for _, urn in lines}) == 5


TRIES = 4
"""How often a child may hang that is forked without hooks. Where another thread waits for the
interpreter's own lock at that moment, Python itself may hang in the child, whatever it runs."""
HUNG = f"parent saw the child end with {-signal.SIGALRM}"


def test_a_child_of_a_fork_without_hooks_sends_and_ends_as_any_other(hookless: Run) -> None:
    for _ in range(TRIES):
        server = hookless.serve()
        lines, program = sends_in_a_child(hookless, server)
        if HUNG not in lines:
            break

    assert lines == [
        "child knows that this actor is the parent's",
        "child knows that the other is, too",
        "child asked",
        "child told",
        "parent saw the child end with 0",
        "parent True",
        "parent of the parent's actor",
    ]
    assert (program.status, program.errors) == (0, "")
    assert server.accepted == 4


def sends_in_a_child(hookless: Run, server: ScriptedServer) -> tuple[list[str], Program]:
    program = hookless("""
import signal
from pykka_smtp import AsyncioActor

SmtpActor.start("localhost", PORT).ask(mail(context="before"))
idle = SmtpActor.start("localhost", PORT)  # keeps the parent's threads
other = AsyncioActor.start()
sys.stdin.readline()
child = fork()
if not child:
    signal.alarm(3)
    try:
        idle.tell(mail())
    except ActorDeadError:
        who("knows that this actor is the parent's")
    try:
        other.ask(1)
    except ActorDeadError:
        who("knows that the other is, too")
    SmtpActor.start("localhost", PORT).ask(mail(context="asked"))
    SmtpActor.start("localhost", PORT).tell(mail(context="told"))
    sys.exit()
wait_for(child)
who(idle.is_alive())
idle.tell(mail(context="of the parent's actor"))
other.stop()
""")
    program.wait_for("parent before")
    server.wait_until_ended()
    program.tell("fork")

    return program.end(), program


def test_a_child_of_a_fork_without_hooks_can_end_without_a_word_while_its_parent_sends(
    hookless: Run, door: Door
) -> None:
    server = hookless.serve(door)
    program = hookless("""
SmtpActor.start("localhost", PORT).tell(mail(context="in flight"))
sys.stdin.readline()
child = fork()
if not child:
    sys.exit(7)
wait_for(child)
""")
    server.wait_for(lambda: server.sessions)
    program.tell("fork")
    program.wait_for("parent saw the child end with 7")
    door.open()

    assert program.done() == ["parent in flight"]


def test_a_fork_amid_waits_for_actors_of_other_threads_leaves_no_child_that_hangs(
    forks: Run,
) -> None:
    program = forks("""
import threading
from pykka_smtp import AsyncioActor

refs = [AsyncioActor.start() for _ in range(4)]
over = threading.Event()

def poll():
    while not over.is_set():
        for ref in refs:
            ref.actor_stopped.wait(0.0001)

threads = [threading.Thread(target=poll) for _ in range(4)]
for thread in threads:
    thread.start()
for _ in range(40):
    child = os.fork()
    if not child:
        os._exit(any(ref.is_alive() for ref in refs))
    assert os.waitpid(child, 0)[1] == 0
over.set()
for ref in refs:
    ref.stop()
who("is done")
""")

    assert program.done() == ["parent is done"]


# Signals


def test_a_signals_handler_that_sends_every_millisecond_makes_no_second_loop(run: Run) -> None:
    server = run.serve()
    program = run("""
import signal
import threading

told = heard = 0
all_heard = threading.Event()

smtp_send_success.disconnect(sent)
smtp_send_failure.disconnect(failed)

def count(sender, outcome, **extra):
    global heard
    heard += 1
    loops = sum(thread.name == "pykka-smtp-loop" for thread in threading.enumerate())
    if loops > 1 or not outcome.code == 250:
        say(loops, outcome)
    if heard == 61:
        all_heard.set()

smtp_send_success.connect(count)
smtp_send_failure.connect(count)

def handler(number, frame):
    global told
    if told < 60:
        told += 1
        SmtpActor.start("127.0.0.1", PORT).tell(mail())

signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
SmtpActor.start("127.0.0.1", PORT).ask(mail())
while told < 60:
    signal.pause()
signal.setitimer(signal.ITIMER_REAL, 0)

all_heard.wait(10)
say(heard)
""")

    assert program.done() == ["61"]
    assert server.accepted == 61


# Closed descriptors, as old daemons have them


@pytest.mark.parametrize("closed", [(0,), (1,), (0, 1, 2)], ids=str)
def test_a_program_whose_standard_descriptors_are_closed_sends_and_ends(
    run: Run, tmp_path: Path, closed: tuple[int, ...]
) -> None:
    server = run.serve()
    run.prelude = (
        "import sys\nfrom pykka_smtp import SendMail, SmtpActor\nPORT = int(sys.argv[1])\n"
    )
    program = run(f"""
import os
os.closerange({closed[0]}, {closed[-1] + 1})
outcome = SmtpActor.start("127.0.0.1", PORT).ask(SendMail(
    sender="me@a.test", recipients="you@b.test", body="1 2 3"
))
with open({str(tmp_path / "outcome")!r}, "w") as file:
    print(outcome.code, *map(os.readlink, ["/proc/self/fd/0", "/proc/self/fd/1"]), file=file)
""")

    program.end()

    assert program.status == 0
    assert "Assertion" not in program.errors
    code, *descriptors = (tmp_path / "outcome").read_text().split()
    assert code == "250"
    assert all(descriptors[number] == os.devnull for number in closed if number < 2)
    assert server.accepted == 1
