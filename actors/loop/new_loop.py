"""Creates an event loop in any kind of process, and ends its tasks."""

import asyncio
import os
import sys


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return a uvloop if it is installed, else a loop of the standard library.

    ``PYKKA_SMTP_LOOP=asyncio`` in the environment asks for the latter.
    """
    has_standard_descriptors = _take_standard_descriptors()
    if (
        os.environ.get("PYKKA_SMTP_LOOP") != "asyncio"
        and has_standard_descriptors
        and not are_threads_greenlets()
    ):
        try:
            import uvloop  # imported late: only programs that send need it

            return uvloop.new_event_loop()
        except (ImportError, AttributeError, RuntimeError):
            # Not installed; or a signal's handler sends amid the program's own import of it; or
            # the main thread has ended, and uvloop's own imports fail.
            pass
    # Not what a policy, or Windows, makes of it: a proactor's loop cannot wait for a socket that
    # is being connected.
    return asyncio.SelectorEventLoop()


def _take_standard_descriptors() -> bool:
    """Open what is closed of standard input, output and error; return whether all are open.

    Else a connection would have one of their numbers: what a library writes to standard error
    would go into the mail, and uvloop ends the process as soon as it closes such a number.
    """
    try:
        while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
    except OSError:
        return False
    os.close(number)
    return True


def are_threads_greenlets() -> bool:
    """Whether gevent or eventlet has replaced the threads of the standard library.

    uvloop waits without them, and so would stop all of them.
    """
    for library, function, module in (
        ("gevent.monkey", "is_module_patched", "threading"),
        ("eventlet.patcher", "is_monkey_patched", "thread"),
    ):
        is_patched = getattr(sys.modules.get(library), function, None)
        if is_patched is not None and is_patched(module):
            return True
    return False


def end_tasks(loop: asyncio.AbstractEventLoop, timeout: float) -> None:
    """Let what was cancelled come to its end: a task that is left behind complains.

    Args:
        loop: the loop, which no longer runs.
        timeout: how long to wait, in seconds.
    """
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks, timeout=timeout))
