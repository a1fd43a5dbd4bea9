"""docs/testing-your-program.md: its examples run, and it names what there is."""

import re
import ssl
from pathlib import Path
from typing import Any

import pytest
from servers.require import require_module

import pykka_smtp.testing
from pykka_smtp import SendMail, SendSuccess, SmtpActor
from pykka_smtp.testing import Server

PAGE = (Path(__file__).parents[2] / "docs" / "testing-your-program.md").read_text("utf-8")
EXAMPLE, TLS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def made_by(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(code, "testing-your-program.md", "exec"), names)  # noqa: S102 - it is ours
    return names


@pytest.mark.parametrize("name", re.findall(r"def (test_\w+)", EXAMPLE))
def test_the_example_on_the_page_passes(name: str) -> None:
    made_by(EXAMPLE)[name]()


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
    names = set(pykka_smtp.testing.__all__) - {"Server", "ReceivedMail"}

    assert names <= set(re.findall(r"`(\w+)\(", PAGE))


def test_the_page_promises_nothing_that_a_server_has_not() -> None:
    with Server() as server:
        table = PAGE.split("A server has")[1].split("##")[0]
        rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
        promised = re.findall(r"`(\w+)[`(]", "".join(rows))

        assert len(promised) == 8
        assert [name for name in promised if not hasattr(server, name)] == []
