"""docs/testing-your-program.md: its examples run, and it names what there is."""

import inspect
import re
import ssl
from pathlib import Path
from typing import Any

import pytest
from servers.require import require_module

import pykka_smtp.testing
from pykka_smtp import SendMail, SendSuccess, SmtpActor
from pykka_smtp.testing import Server, record_mails

PAGE = (Path(__file__).parents[2] / "docs" / "testing-your-program.md").read_text("utf-8")
*EXAMPLES, TLS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
TESTS = [(name, code) for code in EXAMPLES for name in re.findall(r"def (test_\w+)", code)]


def made_by(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(code, "testing-your-program.md", "exec"), names)  # noqa: S102 - it is ours
    return names


@pytest.mark.parametrize(("name", "code"), TESTS, ids=[name for name, _ in TESTS])
def test_the_example_on_the_page_passes(name: str, code: str) -> None:
    test = made_by(code)[name]
    if "smtp_outbox" not in inspect.signature(test).parameters:
        test()
        return
    with record_mails() as outbox:  # as the fixture does, which the plugin's own tests use
        test(smtp_outbox=outbox)


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_the_context_on_the_page_is_one_for_the_server_and_one_for_the_program(tls: str) -> None:
    require_module("trustme")
    names = made_by(TLS)
    context: ssl.SSLContext = names["context"]

    with Server(tls=context, implicit_tls=tls == "implicit") as server:
        actor = SmtpActor.start(*server.address, tls=tls, tls_context=names["trusting"])
        outcome = actor.ask(
            SendMail(sender="a@b.test", recipients="c@d.test", body="hello"), timeout=10
        )

        assert isinstance(outcome, SendSuccess), outcome
        assert server.sessions[0].tls == "TLSv1.3"


def test_the_page_names_all_that_is_public() -> None:
    names = set(pykka_smtp.testing.__all__) - {"ReceivedMail", "Attachment"}

    assert names <= set(re.findall(r"`(\w+)[`(]", PAGE))


def promised_in(part: str) -> list[str]:
    """Return the names in the first column of a table."""
    rows = re.findall(r"^\| (`.*?) \|", PAGE.split(part)[1].split("##")[0], re.MULTILINE)
    return re.findall(r"`(\w+)[`(]", "".join(rows))


def test_the_page_promises_nothing_that_an_outbox_has_not() -> None:
    with record_mails() as outbox:
        SmtpActor.start().tell(SendMail(sender="a@b.test", recipients="c@d.test", body="hello"))

        attributes, methods = promised_in("## Recorded emails"), promised_in("### Outcomes")
        assert (len(attributes), len(methods)) == (10, 5)
        assert [name for name in attributes if not hasattr(outbox[0], name)] == []
        assert [name for name in methods if not hasattr(outbox, name)] == []


def test_the_page_promises_nothing_that_a_server_has_not() -> None:
    with Server() as server:
        promised = promised_in("A server has")

        assert len(promised) == 8
        assert [name for name in promised if not hasattr(server, name)] == []
