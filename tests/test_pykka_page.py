"""What docs/pykka.md shows runs: actors that send, hear and stop, and their test."""

import re
from collections.abc import Callable
from pathlib import Path

from servers.python import printed, python
from servers.sink import AiosmtpdServer

PAGE = (Path(__file__).parents[1] / "docs" / "pykka.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SENDS, HEARS, STOPS, TESTED = BLOCKS
DEFINED, BEGUN = SENDS.split("\nmailer = ")
HERE = 'server="localhost", port=25'

Servers = Callable[..., AiosmtpdServer]


def run(server: AiosmtpdServer, *parts: str) -> list[str]:
    code = "\n".join(parts).replace(HERE, f'server="{server.host}", port={server.port}')
    return printed("-W", "error", "-c", code).splitlines()


def test_an_actor_hears_what_became_of_its_emails_before_all_is_stopped(
    aiosmtpd_server: Servers,
) -> None:
    server = aiosmtpd_server()

    [line] = run(server, SENDS, STOPS)

    # On two connections, either may be the first.
    assert sorted(re.findall(r"'(\w+)@example.org'", line)) == ["her", "you"]
    assert server.accepted == 2


def test_another_actor_hears_of_the_failures_of_all(aiosmtpd_server: Servers) -> None:
    server = aiosmtpd_server(replies={"her@example.org": "550 5.1.1 who?"})
    asked = STOPS.replace("mailer.stop()", "print(watch.failures.get())\nmailer.stop()")

    lines = run(server, DEFINED, HEARS, f"mailer = {BEGUN}", asked)

    refused = f"{server.host}:{server.port} refused the recipient her@example.org: 550 5.1.1 who?"
    assert lines == [
        f"her@example.org was not invited: {refused}",
        "['you@example.org']",
        f"['{refused}']",
    ]


def test_the_test_on_the_page_passes(tmp_path: Path) -> None:
    head = "from pykka import ActorRegistry\n"
    (tmp_path / "test_it.py").write_text(DEFINED + "\n" + head + TESTED)

    done = python(
        *("-m", "pytest", "-p", "pytest_pykka_smtp", "-p", "no:cacheprovider", "-q", "-W", "error"),
        *("-c", "/dev/null", "test_it.py"),
        cwd=tmp_path,
        env={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
    )

    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_all_the_code_of_the_page_is_run_here() -> None:
    assert len(BLOCKS) == 4
