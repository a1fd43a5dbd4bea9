"""Fixtures for all tests: servers to send to, and a look at what each test leaves behind."""

import contextlib
import gc
import importlib.util
import os
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from servers.certificates import Certificates
from servers.demo_run import DemoRun
from servers.dovecot_lmtp import DovecotLmtp
from servers.dovecot_submission import DovecotSubmission
from servers.effort import times
from servers.exim import EximSmtpd
from servers.leftovers import Leftovers
from servers.node_smtp_server import NodeSmtpServer
from servers.opensmtpd import OpenSmtpd
from servers.require import require_module
from servers.scripted import ScriptedServer
from servers.sink import AiosmtpdServer, PostfixSmtpd, SmtpSink

pytest_plugins = [
    *("servers.actor_fixtures", "servers.mailer_fixtures", "servers.sending_fixtures"),
    *("servers.outbox_fixtures", "servers.merging"),
    "servers.submitting",
]

REAL = {
    *("smtp_sink", "postfix_smtpd", "exim_smtpd", "opensmtpd"),
    *("dovecot_lmtp", "dovecot_submission", "node_smtp_server"),
}
"""Fixtures that start a program; tests that use one are marked ``real``."""
HEAVY = REAL - {"smtp_sink", "postfix_smtpd"}
"""Those of them that take their time; tests that use one are marked ``servers``, too."""
LONG = {
    "test_a_quick_run_measures_everything_and_judges_every_target",
    "test_two_thousand_connections_wanted_of_a_server_that_takes_ten",
    "test_whatever_the_servers_do_each_mail_has_one_outcome_and_it_is_true",
    "test_ctrl_c_ends_a_soak_with_the_figures_so_far",
    "test_a_signal_ends_it_and_its_children_soon",
    "test_a_competitor_is_left_out_on_request",
    "test_the_wheel_holds_the_package_and_nothing_else",
    "test_the_sdist_holds_what_a_distributor_needs",
    "test_no_yes_to_the_mail_is_lost_behind_a_refusal_whatever_the_server_says",
    "test_whatever_happens_at_some_octets_both_say_the_same",
    "test_random_sessions_are_the_same_on_both",
    "test_two_hundred_times_what_was_told_is_out_and_heard",
    "test_two_hundred_times_a_drain_is_answered_after_the_receivers",
    "test_two_hundred_times_an_asyncio_program_awaits_what_its_own_loop_hears",
    "test_a_program_that_hangs_is_killed_with_its_children",
    "test_a_server_that_reads_slowly_and_in_time_gets_the_mail",
}
"""Tests that are marked ``long``."""
LONG_FILES = {
    *("test_outlet_injections.py", "test_django_page.py", "test_framework_pages.py"),
    *("test_end_of_a_program_page.py", "test_bus_injections.py", "test_injected_errors.py"),
    *("test_leaks.py", "test_chaos.py", "test_soak.py", "test_fuzz_targets.py"),
    *("test_stored_mails.py", "test_differential.py", "test_real_servers.py", "test_on_socket.py"),
}
"""Files whose tests are marked ``long``."""
LONGEST = {
    *("test_lifecycle.py", "test_mailer_end.py", "test_tls_truth.py", "test_examples.py"),
    *("test_fuzz_targets.py", "test_injected_errors.py", "test_command_line.py", "test_readme.py"),
    *("test_real_servers.py", "test_every_server.py", "test_send_program.py", "test_packaging.py"),
    *("test_frameworks.py", "test_chaos.py", "test_soak.py", "test_benchmarks.py", "test_demo.py"),
    *("test_contradictory_replies.py", "test_mailer_page.py", "test_mailer_pacing.py"),
    *("test_express_dialog.py", "test_differential.py", "test_more_servers_harness.py"),
    *("test_outlets.py", "test_done.py", "test_dialog.py"),
}
"""Files with which several processes begin."""
LOOPS = ("uvloop", "asyncio")
MOST_PROCESSES = 4
"""More would not do: the last of them ends with the slowest file."""
HAS_UVLOOP = importlib.util.find_spec("uvloop") is not None

# Busy machines are slow, not wrong; and a run in CI is to be repeated, not to be lucky. Elsewhere
# each run has other examples, so that many runs with few of them find as much.
IS_CI = "CI" in os.environ
settings.register_profile(
    "suite",
    deadline=None,
    derandomize=IS_CI,
    max_examples=times(25, thoroughly=200),
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


# Most of the time before the first test is spent on compiling the tests, unless that is kept.
if sys.dont_write_bytecode:
    sys.dont_write_bytecode = False
    sys.pycache_prefix = str(Path(__file__).parents[1] / ".pytest_cache" / "pycache")


# What a process opens once and keeps is not what the first test to need it leaves behind.
with contextlib.suppress(ImportError):
    importlib.import_module("uvloop").new_event_loop().close()


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Have the whole suite run in several processes, unless the command line says how many.

    Without pytest-xdist, or with a file named, it is one process.
    """
    option = config.option
    # The order is ours, see `longest_first`.
    option.loadscopereorder = False
    is_undecided = getattr(option, "numprocesses", 1) is None and not hasattr(config, "workerinput")
    is_whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    # pytest-cov has decided by now how it counts: there, `-n` has to stand on the command line.
    is_counted = bool(getattr(option, "cov_source", None))
    if is_undecided and is_whole and not (option.usepdb or option.collectonly or is_counted):
        # More than processors, because most tests wait for something most of the time.
        option.numprocesses = min(2 * (os.cpu_count() or 1), MOST_PROCESSES)
        # What a module's tests share, such as a server, is then started once.
        option.dist = "loadfile"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that need a mail server on this machine, and those that take their time."""
    if hasattr(config, "workerinput"):
        longest_first(items)
    for item in items:
        used = set(getattr(item, "fixturenames", ()))
        if REAL & used:
            item.add_marker("real")
        if HEAVY & used:
            item.add_marker("servers")
        is_long = item.path.name in LONG_FILES or getattr(item, "originalname", "") in LONG
        if is_long or is_on_the_other_loop(item):
            item.add_marker("long")


def longest_first(items: list[pytest.Item]) -> None:
    """Put the files that take longest first: a process that gets one last is the last to end."""
    tests = Counter(item.path.name for item in items)

    def rank(item: pytest.Item) -> tuple[bool, int, str]:
        name = item.path.name
        return name not in LONGEST, -tests[name], name

    items.sort(key=rank)


def is_on_the_other_loop(item: pytest.Item) -> bool:
    """Whether a plain run does this test on the other loop, and not on this one."""
    callspec = getattr(item, "callspec", None)
    if callspec is None or not HAS_UVLOOP:
        return False
    for loop in LOOPS:
        if loop in callspec.params.values():
            name = item.name.replace(loop, "")
            return loop != LOOPS[zlib.crc32(name.encode()) % 2]
    return False


def pytest_collection_finish() -> None:
    """Let the garbage collector forget the thousands of tests: they stay, and it looks long."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def programs_need_not_be_compiled_each_time() -> Iterator[None]:
    """Where the environment forbids ``__pycache__``, let the programs of the tests share ours."""
    with pytest.MonkeyPatch.context() as patch:
        if os.environ.get("PYTHONDONTWRITEBYTECODE"):
            patch.delenv("PYTHONDONTWRITEBYTECODE")
            patch.setenv("PYTHONPYCACHEPREFIX", str(sys.pycache_prefix))
        yield


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail a test after which an actor, a thread or a descriptor stays; forget its receivers."""
    actors_thread = sys.modules.get("pykka_smtp.actors.loop.loop_thread")
    if hasattr(actors_thread, "TICK"):
        # It lingers for two ticks after the last actor. Each test waits for that.
        vars(actors_thread)["TICK"] = 0.001
    before = Leftovers()
    yield
    complaints = before.complaints()
    if complaints:
        pytest.fail("left behind:\n" + "\n".join(complaints), pytrace=False)


def started(kind: Callable[..., Any]) -> Any:
    """Make a fixture that starts servers of a kind, with arguments; they stop after the test."""

    @pytest.fixture
    def start() -> Iterator[Callable[..., Any]]:
        with ExitStack() as exits:
            yield lambda *args, **kwargs: exits.enter_context(kind(*args, **kwargs))

    return start


scripted_server = started(ScriptedServer)
aiosmtpd_server = started(AiosmtpdServer)
smtp_sink = started(SmtpSink)
postfix_smtpd = started(PostfixSmtpd)
exim_smtpd = started(EximSmtpd)
opensmtpd = started(OpenSmtpd)
dovecot_lmtp = started(DovecotLmtp)
dovecot_submission = started(DovecotSubmission)
node_smtp_server = started(NodeSmtpServer)


@pytest.fixture
def server(scripted_server: Callable[..., ScriptedServer]) -> ScriptedServer:
    """Give a server that takes every mail."""
    return scripted_server()


@pytest.fixture(scope="session")
def demo_run() -> DemoRun:
    """Run the demo, once for all tests."""
    require_module("rich")
    return DemoRun.run()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates of a CA that `Certificates.trusting` clients trust, and others."""
    return Certificates(tmp_path_factory.mktemp("certificates"))
