"""What docs/asyncio.md shows runs."""

import ast
import re
from collections.abc import Callable
from pathlib import Path

from servers.python import printed
from servers.sink import AiosmtpdServer

PAGE = (Path(__file__).parents[1] / "docs" / "asyncio.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
HERE = 'server="localhost", port=25'

Servers = Callable[..., AiosmtpdServer]


def run(number: int, server: AiosmtpdServer, more: str = "") -> list[str]:
    here = f'server="{server.host}", port={server.port}'
    code = BLOCKS[number].replace(HERE, here).replace("3_000", "60").replace("1_000", "9")
    return printed("-W", "error", "-c", code + more).splitlines()


def test_answers_are_awaited(aiosmtpd_server: Servers) -> None:
    first, second = run(0, aiosmtpd_server())

    assert " accepted by " in first
    assert second == "10 of 10 accepted"


def test_the_lines_for_trio_are_python() -> None:
    assert "trio.to_thread.run_sync(ask, abandon_on_cancel=True)" in BLOCKS[1]
    ast.parse(f"async def main():\n{re.sub('^', ' ', BLOCKS[1], flags=re.MULTILINE)}")


def test_a_queue_a_receiver_and_a_function_hear_on_the_programs_loop(
    aiosmtpd_server: Servers,
) -> None:
    assert sorted(run(2, aiosmtpd_server())) == [
        *("function: two", "queue: one", "queue: two", "receiver: one", "receiver: two")
    ]


def test_the_lifespan_waits_for_what_was_told(aiosmtpd_server: Servers) -> None:
    more = """
import asyncio
from pykka_smtp import SendMail
async def serve():
    async with lifespan(None) as state:
        state["mailer"].tell(SendMail(sender="me@example.com", recipients="you@example.org"))
asyncio.run(serve())
"""
    server = aiosmtpd_server()

    run(3, server, more)

    assert server.accepted == 1


def test_more_emails_than_may_wait_are_all_sent(aiosmtpd_server: Servers) -> None:
    server = aiosmtpd_server()

    assert len(run(4, server)) == server.accepted == 60


def test_all_the_code_of_the_page_is_run_here() -> None:
    assert len(BLOCKS) == 5
