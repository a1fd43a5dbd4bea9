"""One error, raised once in any function of the bus, costs no mail its outcome.

The functions are found by looking, so that this follows the code. Those that are left out are
named below, with the reason.
"""

import asyncio
import importlib
import inspect
import itertools
import pkgutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from servers.mailing import SOON, Mailing
from servers.scripted import polite
from servers.waiting import PATIENCE

import pykka_smtp.signals
from pykka_smtp import SendSuccess, SmtpActor, forward_to, smtp_send_retry, smtp_send_success
from pykka_smtp.signals.dispatcher import dispatcher

Start = Callable[..., Any]


class InjectedError(Exception):
    """What is raised."""


NOT_THE_BUS = {"forks", "complete_message", "recipients"}
"""What a program's own thread calls: at a fork, or when it makes a mail."""


def functions() -> Iterator[tuple[str, Any, str]]:
    """Yield the name of each function of the bus, its owner, and its name there."""
    folder = str(Path(pykka_smtp.signals.__file__).parent)
    for found in pkgutil.iter_modules(pykka_smtp.signals.__path__):
        if found.name in NOT_THE_BUS:
            continue
        module = importlib.import_module(f"pykka_smtp.signals.{found.name}")
        classes = [c for c in vars(module).values() if inspect.isclass(c)]
        for owner in [module, *classes]:
            if getattr(owner, "__module__", module.__name__) != module.__name__:
                continue
            for name, value in vars(owner).items():
                function: Any = value.fget if isinstance(value, property) else value
                code = getattr(function, "__code__", None)
                # Not what dataclasses make, nor what was only imported.
                is_ours = code is not None and code.co_filename.startswith(folder)
                if is_ours and function.__module__ == module.__name__:
                    yield function.__qualname__, owner, name


ALL = {qualname: (owner, name) for qualname, owner, name in functions()}
BY_ACTORS = {
    *("hold", "release", "is_idle", "is_current", "when_not_full"),
    *("publish", "publish_retry", "outcome_of", "_failure_of", "_in_order"),
    *("_mark_maybe_accepted", "refused", "all_recipients", "source"),
    *(qualname for qualname in ALL if qualname.startswith("Attempts.")),
}
"""What an actor calls: it is for the actor to see that the mail has an outcome all the same."""
BY_CALLERS = {
    *("__post_init__", "_options", "_composed", "_split_sender", "_fields", "_has_parts"),
    *("_message_id", "save", "needs_smtputf8"),
    *("raise_for_failure", "as_dict", "_shown", "wait_idle", "reset_after_fork", "_reset"),
    *("_unsubscribe", "forward_to", "stop", "is_active"),
}
"""What a program calls, in its own thread, which hears of the error."""
OUTERMOST = {
    *("Dispatcher._run", "Dispatcher._call", "_Delivery.__call__", "_tell", "_run_coroutine"),
    "_surely",
}
"""What delivers, and what catches: nothing of the bus is around it that could go on."""


INJECTED = [
    qualname
    for qualname, (_, name) in ALL.items()
    if not {qualname, name} & (OUTERMOST | BY_ACTORS | BY_CALLERS)
]


def inject(patch: pytest.MonkeyPatch, qualname: str, nth: int) -> None:
    """Have the nth call of a function raise, wherever it was imported to."""
    owner, name = ALL[qualname]
    value = vars(owner)[name]
    usual: Any = value.fget if isinstance(value, property) else value
    calls = itertools.count(1)

    def raises_once(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == nth:
            raise InjectedError(qualname)
        return usual(*args, **kwargs)

    if inspect.isclass(owner):
        patch.setattr(
            owner, name, property(raises_once) if isinstance(value, property) else raises_once
        )
        return
    for module in list(sys.modules.values()):
        if module.__name__.startswith("pykka_smtp") and vars(module).get(name) is usual:
            patch.setattr(module, name, raises_once)


class Inbox:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.told: Counter[str] = Counter()

    def tell(self, message: Any, /) -> None:
        self.told[message.mail.id] += 1


@pytest.fixture
def company() -> Iterator[Inbox]:
    """Connect a receiver that raises, one that is a coroutine, and an inbox; return the inbox."""

    def raises(_sender: str, **_extra: Any) -> None:
        raise ValueError("a bug of the program's")

    async def coroutine(_sender: str, **_extra: Any) -> None:
        await asyncio.sleep(0)

    inbox = Inbox()
    smtp_send_success.connect(raises)
    smtp_send_success.connect(coroutine)
    smtp_send_retry.connect(raises)
    forwarding = forward_to(inbox)
    yield inbox
    forwarding.stop()


def test_what_is_left_out_exists() -> None:
    assert ALL.keys() >= OUTERMOST
    assert ALL.keys() | {name for _, name in ALL.values()} >= BY_ACTORS | BY_CALLERS
    assert {"_submit", "_Delivery._run", "Dispatcher.submit", "Dispatcher._sleep_or_end"} <= {
        *INJECTED
    }


@pytest.mark.parametrize("nth", [1, 3])
@pytest.mark.parametrize("kind", ["SmtpActor", "Mailer"])
@pytest.mark.parametrize("qualname", INJECTED)
def test_an_error_in_the_bus_costs_no_mail_its_outcome(
    mailing: Mailing,
    company: Inbox,
    scripted_server: Start,
    monkeypatch: pytest.MonkeyPatch,
    qualname: str,
    kind: str,
    nth: int,
) -> None:
    server = scripted_server(polite(replies={"MAIL": "451 later"}), polite())
    inbox = Inbox()
    mailer: Any = None
    if kind == "Mailer":
        mailer = mailing.start(server, retry=SOON, max_connections=1, max_mails_per_connection=1)
    else:
        mailing.ask(SmtpActor.start(server.host, server.port))
    mails = [mailing.mail(outcome_to=inbox) for _ in range(4)]
    mailing.mails += mails
    monkeypatch.setattr(dispatcher, "limit", 2)
    with monkeypatch.context() as patch:
        inject(patch, qualname, nth)

        answers = []
        for number, mail in enumerate(mails):
            ref = mailer or SmtpActor.start(server.host, server.port)
            if number % 2:
                answers.append(ref.ask(mail, block=False))
            else:
                ref.tell(mail)

        assert all(isinstance(one.get(timeout=PATIENCE), SendSuccess) for one in answers)
        mailing.outcomes()
        assert dispatcher.wait_idle(PATIENCE)
        assert inbox.told == Counter(mail.id for mail in mails)
        assert set(company.told.values()) <= {1}
