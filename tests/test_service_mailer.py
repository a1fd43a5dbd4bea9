"""The Mailer of the framework modules: at the end of a process, what is queued goes out."""

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pykka import ActorDeadError
from servers.python import printed, python
from servers.require import require_module
from servers.scripted import ScriptedServer
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import MailerRef, Outcome, SendFailure, SendMail, SendSuccess, wait_until_done
from pykka_smtp.service_mailer import Finish, ProcessMailer, ServiceMailer
from pykka_smtp.testing import Server
from pykka_smtp.testing.moods import defer, hold

START = """
import os, sys
from pykka_smtp import Mailer, SendMail
from pykka_smtp.service_mailer import ProcessMailer, ServiceMailer

def mail(number):
    return SendMail(sender="me@a.test", recipients=f"you{number}@b.test", body="1 2 3")

options = {"server": "127.0.0.1", "port": int(sys.argv[1]), "max_connections": 1}
"""


def mail(**given: Any) -> SendMail:
    return SendMail(sender="me@a.test", **{"recipients": "you@b.test", "body": "1 2 3"} | given)


@pytest.fixture
def start() -> Iterator[Callable[..., MailerRef]]:
    refs: list[MailerRef] = []

    def start(server: ScriptedServer, **options: Any) -> MailerRef:
        refs.append(ServiceMailer.start(server.host, server.port, **options))
        return refs[-1]

    yield start
    for ref in refs:
        ref.stop()


# The end of the program


def test_what_is_queued_goes_out_after_the_program_has_ended(server: ScriptedServer) -> None:
    program = "ref = ServiceMailer.start(**options)\nfor n in range(20): ref.tell(mail(n))\n"

    assert printed("-W", "error", "-c", START + program, server.port) == ""

    assert server.accepted == 20


def test_a_program_does_not_wait_for_a_retry() -> None:
    program = "ServiceMailer.start(**options).tell(mail(1))\n"
    with Server(defer("RCPT")) as server:
        done = python("-c", START + program, server.port, timeout=PATIENCE)

    assert done.returncode == 0
    assert "CANCELLED" in done.stderr


def test_it_finishes_what_it_was_told_and_stops(start: Callable[..., MailerRef]) -> None:
    go = threading.Event()
    with Server(hold(".", go)) as server:
        ref = start(server, max_connections=1)
        outcomes = [ref.ask(mail(), block=False) for _ in range(3)]
        server.wait_for(lambda: server.mails)
        ref.tell(Finish())
        outcomes.append(ref.ask(mail(), block=False))
        go.set()

        assert all(isinstance(one.get(timeout=PATIENCE), SendSuccess) for one in outcomes)
        assert ref.actor_stopped.wait(PATIENCE)


def test_it_cancels_what_is_not_out_after_its_grace(start: Callable[..., MailerRef]) -> None:
    never = threading.Event()
    with Server(hold("RCPT", never)) as server:
        ref = start(server, max_connections=1, grace=0.2)
        outcomes = [ref.ask(mail(), block=False) for _ in range(2)]
        ref.tell(Finish())
        kinds = [one.get(timeout=PATIENCE) for one in outcomes]

    assert [isinstance(one, SendFailure) and one.kind.name for one in kinds] == ["CANCELLED"] * 2
    assert ref.actor_stopped.wait(PATIENCE)


# One in each process


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_has_a_mailer_of_its_own(server: ScriptedServer) -> None:
    program = """
mailer = ProcessMailer(options)
mailer.ref.ask(mail(1))
pid = os.fork()
assert not pid or mailer.ref.is_alive()
mailer.ref.tell(mail(2))
if pid:
    os.waitpid(pid, 0)
"""

    # From 3.12 on Python warns of any fork of a process with threads.
    printed("-W", "ignore::DeprecationWarning", "-c", START + program, server.port)

    assert server.accepted == 3


def test_many_threads_start_one(server: ScriptedServer) -> None:
    mailer = ProcessMailer({"server": server.host, "port": server.port})
    refs: list[MailerRef] = []
    barrier = threading.Barrier(8)

    def use() -> None:
        barrier.wait(PATIENCE)
        refs.append(mailer.ref)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)

    assert len({ref.actor_urn for ref in refs}) == 1
    assert len(refs) == 8
    refs[0].stop()


def test_one_that_was_stopped_is_followed_by_another(server: ScriptedServer) -> None:
    mailer = ProcessMailer({"server": server.host, "port": server.port})
    first = mailer.ref
    first.stop()

    assert mailer.started is None
    assert isinstance(mailer.ref.ask(mail()), SendSuccess)
    mailer.ref.stop()


def test_one_that_is_being_stopped_by_somebody_else_may_be_finished_too() -> None:
    stopped = ServiceMailer.start()
    stopped.stop()

    class LooksTooEarly(ProcessMailer):
        started = stopped  # alive when it looked

    LooksTooEarly({}).finish()

    with pytest.raises(ActorDeadError):
        stopped.tell(Finish())


def test_a_wrong_option_is_an_error_before_anything_is_started() -> None:
    with pytest.raises(TypeError, match=r"prot is not an option of Mailer; did you mean port?"):
        ProcessMailer({"prot": 25})


# Its own receivers


class Application:
    def __init__(self) -> None:
        self.heard: list[Outcome] = []

    def find(self, outcome: Outcome) -> list[Callable[[Outcome], object]]:
        return [] if outcome.mail.context == "nobody" else [self.fail, self.heard.append]

    def fail(self, outcome: Outcome) -> None:
        raise SystemExit(outcome)


def test_each_receiver_hears_though_another_one_raises(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    application = Application()
    mailer = ProcessMailer({"server": server.host, "port": server.port}, application.find)

    outcome = mailer.ref.ask(mail())
    mailer.ref.ask(mail(context="nobody"))
    assert wait_until_done(PATIENCE)

    assert application.heard == [outcome]
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        f"receiver {__name__}.Application.fail raised; the others run"
    ]
    mailer.ref.stop()


class Broken:
    def find(self, outcome: Outcome) -> list[Callable[[Outcome], object]]:
        raise LookupError(outcome.mail.id)


def test_an_outcome_is_published_though_its_receivers_cannot_be_found(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Broken()
    mailer = ProcessMailer({"server": server.host, "port": server.port}, broken.find)

    assert isinstance(mailer.ref.ask(mail(), timeout=PATIENCE), SendSuccess)
    assert wait_until_done(PATIENCE)

    assert "receivers of an outcome cannot be found" in caplog.text
    mailer.ref.stop()


def test_the_log_knows_whether_anybody_hears_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    application = Application()
    with Server(defer("RCPT")) as server:
        options: dict[str, Any] = {"server": server.host, "port": server.port, "grace": 0.1}
        mailer = ProcessMailer(options, application.find)
        for context in ("somebody", "nobody"):
            mailer.ref.tell(mail(context=context))
        server.wait_for(lambda: len(server.lines) > 4)
        mailer.ref.tell(Finish())
        assert wait_until_done(PATIENCE)

    failures = [vars(one) for one in caplog.records if one.name == "pykka_smtp.outcomes"]
    assert sorted(one["is_heard"] for one in failures) == [False, True]
    assert wait_until(lambda: mailer.started is None, PATIENCE)


# The modules


MODULES = {"flask": "Flask", "starlette": "Starlette", "celery": "Celery"}


@pytest.mark.parametrize("name", MODULES)
def test_a_missing_framework_is_one_line_that_says_what_to_install(name: str) -> None:
    program = f"""
import sys

class Missing:
    def find_spec(self, module, *_):
        if module == {name!r}:
            raise ModuleNotFoundError(f"No module named {{module!r}}", name=module)

sys.meta_path.insert(0, Missing())
import pykka_smtp.{name}
"""
    done = python("-c", program)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"ImportError: pykka_smtp.{name} needs {MODULES[name]}: pip install 'pykka-smtp[{name}]'"
    )
    assert "During handling" not in done.stderr


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_its_own_framework_and_no_other(name: str) -> None:
    require_module(name)
    program = f"""
import sys, pykka_smtp
assert not {set(MODULES)} & set(sys.modules)
import pykka_smtp.{name}
print(*sorted({set(MODULES)} & set(sys.modules)))
"""

    assert printed("-c", program) == f"{name}\n"
