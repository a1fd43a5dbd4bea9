"""The pytest plugin: its fixture, its option, and that it costs nothing where nobody wants it."""

import tomllib
from pathlib import Path

from servers.python import python

ROOT = Path(__file__).parents[2]
PLUGIN = "pytest_pykka_smtp"


def run(folder: Path, tests: str, *options: str) -> str:
    """Run pytest with the plugin alone, on one file; return what it printed."""
    (folder / "test_it.py").write_text(tests)
    done = python(
        *("-m", "pytest", "-p", PLUGIN, "-p", "no:cacheprovider", "-q", "-W", "error"),
        *("-rA", *options, "test_it.py"),
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
    )
    return done.stdout + done.stderr


def test_it_is_found_by_its_entry_point_as_a_module_of_its_own() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        configuration = tomllib.load(file)

    entry_points = configuration["project"]["entry-points"]["pytest11"]
    assert entry_points == {"pykka_smtp": PLUGIN}
    assert configuration["tool"]["setuptools"]["py-modules"] == [PLUGIN]


def test_it_imports_nothing_of_the_package_until_a_test_wants_the_fixture(tmp_path: Path) -> None:
    printed = run(
        tmp_path,
        "import sys\n"
        "def test_before():\n"
        "    assert not [name for name in sys.modules if name.split('.')[0] == 'pykka_smtp']\n"
        "    assert not {'pykka', 'blinker', 'asyncio'} & set(sys.modules)\n"
        "def test_with_it(smtp_outbox):\n"
        "    assert 'pykka_smtp.testing' in sys.modules\n",
    )

    assert "2 passed" in printed, printed


OUTBOX = """
import threading
from pykka import ActorRegistry
from pykka_smtp import Mailer, SendMail, SmtpActor

MAIL = dict(sender="a@b.test", recipients="c@d.test", body="hello")
LONG_LIVED = Mailer.start("also.invalid")

def test_one(smtp_outbox):
    Mailer.start("mail.invalid", 587, username="u", password="p").tell(SendMail(**MAIL))
    LONG_LIVED.tell(SendMail(**MAIL))
    SmtpActor.start("mail.invalid")  # and is told nothing
    smtp_outbox.stay_silent(to="s@d.test")
    SmtpActor.start("mail.invalid").tell(SendMail(**MAIL | {"recipients": "s@d.test"}))
    assert len(smtp_outbox) == 2

def test_nothing_is_left_but_what_was_there_before():
    assert ActorRegistry.get_all() == [LONG_LIVED]
    LONG_LIVED.stop()

def test_two(smtp_outbox):
    assert not smtp_outbox
    SmtpActor.start("mail.invalid").tell(SendMail(**MAIL))
    assert smtp_outbox[0].text == "hello\\n"

def test_no_thread_is_left_either():
    assert threading.enumerate() == [threading.main_thread()]
"""


def test_each_test_has_an_outbox_of_its_own_and_leaves_no_actor_and_no_thread(
    tmp_path: Path,
) -> None:
    printed = run(tmp_path, OUTBOX)

    assert "4 passed" in printed, printed


FORBIDDEN = """
import os
from pykka_smtp import SendMail, SmtpActor, verify

MAIL = dict(sender="a@b.test", recipients="c@d.test", body="hello")

def test_without_the_fixture_nothing_leaves():
    outcome = SmtpActor.start("127.0.0.1").ask(SendMail(**MAIL), timeout=10)
    assert outcome.detail.startswith("refuse: this process may not send")
    assert not verify("127.0.0.1").is_ready
    assert os.environ["PYKKA_SMTP_URL_ALL"] == "refuse:"

def test_with_it_emails_are_recorded(smtp_outbox):
    assert SmtpActor.start("127.0.0.1").ask(SendMail(**MAIL), timeout=10).reply.code == 250
    assert len(smtp_outbox) == 1
"""


def test_all_sends_of_a_run_can_be_forbidden_by_an_option(tmp_path: Path) -> None:
    printed = run(tmp_path, FORBIDDEN, "--smtp-forbid")

    assert "2 passed" in printed, printed


def test_all_sends_of_a_project_can_be_forbidden_in_its_configuration(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nsmtp_forbid = true\n")

    printed = run(tmp_path, FORBIDDEN)

    assert "2 passed" in printed, printed
