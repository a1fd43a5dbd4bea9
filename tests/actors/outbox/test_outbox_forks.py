"""Forks while an outbox is open: the child can have one of its own on the same file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from servers.outboxes import Outboxes
from servers.waiting import PATIENCE

from pykka_smtp import Find

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

BEGIN = """
import os, signal, sys, threading
from pykka_smtp import Outbox, Put, SendMail

def put(ref, name):
    mail = SendMail(sender="me@example.com", recipients="you@example.org", body="Hi.", id=name)
    return ref.ask(Put(mail), timeout=20)

path = sys.argv[1]
parent = Outbox.start(path, send=False)
"""

OUTLIVES = """
put(parent, "parent")
is_put, has_put = os.pipe()
wait, go_on = os.pipe()
child = os.fork()
if not child:
    os.close(go_on)
    own = Outbox.start(path, send=False)
    put(own, "first")
    os.write(has_put, b"x")
    os.read(wait, 1)
    put(own, "second")
    os.kill(os.getpid(), signal.SIGKILL)
os.read(is_put, 1)
thread = parent._actor_weakref()._thread
parent.stop()
assert thread.join(20)
os.write(go_on, b"x")
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
"""

WRITES = """
is_over = threading.Event()

def write():
    number = 0
    while not is_over.is_set():
        put(parent, f"parent-{number}")
        number += 1

writer = threading.Thread(target=write)
writer.start()
for number in range(5):
    child = os.fork()
    if not child:
        signal.alarm(20)
        own = Outbox.start(path, send=False)
        put(own, f"child-{number}")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
is_over.set()
writer.join()
parent.stop()
"""


def keys_after(script: str, outboxes: Outboxes) -> list[str]:
    """Run a program; return the keys that are in the file then."""
    command = [sys.executable, "-W", "ignore", "-c", BEGIN + script, str(outboxes.path)]
    done = subprocess.run(
        command, timeout=2 * PATIENCE, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [one.key for one in outboxes.start().ask(Find(limit=10_000))]


def test_what_a_child_has_put_is_not_lost_when_its_parent_ends(outboxes: Outboxes) -> None:
    assert keys_after(OUTLIVES, outboxes) == ["parent", "first", "second"]


def test_a_child_can_write_that_was_forked_while_its_parent_wrote(outboxes: Outboxes) -> None:
    keys = keys_after(WRITES, outboxes)

    assert [key for key in keys if key.startswith("child")] == [f"child-{n}" for n in range(5)]


def test_a_file_in_use_at_a_fork_without_hooks_is_refused_in_the_child(tmp_path: Path) -> None:
    script = """
import ctypes
store = parent._actor_weakref()._store
held, let = threading.Event(), threading.Event()
def work():
    with store.look():
        held.set()
        let.wait(20)
worker = threading.Thread(target=work)
worker.start()
held.wait(20)
child = ctypes.PyDLL(None).fork()
if not child:
    try:
        Outbox.start(path, send=False)
    except OSError as error:
        os._exit(7 if "at the moment when this process was forked" in str(error) else 8)
    os._exit(9)
let.set()
worker.join()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
parent.stop()
"""
    command = [sys.executable, "-W", "ignore", "-c", BEGIN + script, str(tmp_path / "mail.db")]
    done = subprocess.run(
        command, timeout=2 * PATIENCE, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
