"""What a competitor does in its turn: it sends mails to a server of its own, which counts them.

A server of its own, on a port of its own: what the kernel remembers of the connections of the
turn before is nobody's burden.
"""

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .mail import CLIENT_NAME, RECIPIENT, SENDER
from .nodemailer import run_nodemailer
from .plan import Sample
from .processes import (
    HOST,
    ChildError,
    OwnServer,
    SmtpSink,
    find_program,
    need_package,
    run_client,
    run_program,
)
from .way import DEFAULTS

Send = Callable[[int], Sample]
"""Sends to the server on this port, and says how that went."""
TIMEOUT = 120.0
"""Seconds that a client has."""
REPORT = 10.0
"""Seconds that a server of ours has to report."""
_IMPORTS = 3.0
"""Seconds after which several clients are ready to begin together."""
_COUNTED = re.compile(r"\d+")


def client(module: str, *, timeout: float = TIMEOUT, loop: str = "", **told: object) -> Send:
    """Return what runs a client of ours.

    Args:
        module: its name within this package, or ``nodemailer``.
        timeout: seconds that it has.
        loop: the event loop of pykka-smtp, or none for its own choice.
        told: what it is told, besides the port and `DEFAULTS`.
    """
    arguments = {**DEFAULTS, **told}

    def send(port: int) -> Sample:
        if module == "nodemailer":
            return run_nodemailer(timeout=timeout, port=port, **arguments)
        if module == "client_aiosmtplib":
            need_package("aiosmtplib")
        if loop == "uvloop" or arguments["uvloop"]:
            need_package("uvloop")
        environment = {"PYKKA_SMTP_LOOP": loop}
        return run_client(module, timeout=timeout, environment=environment, port=port, **arguments)

    return send


def together(count: int, number: int, module: str, **told: Any) -> Send:
    """Return what runs several clients of ours at a time, and sees them as one.

    Args:
        count: emails of all together, a multiple of `number`, as the warm-up is.
        number: how many clients; each sends its share, on its share of the connections.
        module: as for `client`, of one that knows ``begins``.
        told: as for `client`, with the ``limit`` and the ``warm_up`` of all together.
    """
    shares: dict[str, Any] = {"count": count // number}
    shares |= {name: told.pop(name) // number for name in ("limit", "warm_up")}

    def send(port: int) -> Sample:
        one = client(module, **told, **shares, begins=time.monotonic() + _IMPORTS)
        with ThreadPoolExecutor(number) as pool:
            samples = list(pool.map(one, [port] * number))
        return {
            "seconds": max(sample["seconds"] for sample in samples),
            "cpu": sum(sample["cpu"] for sample in samples),
            "sent": sum(sample["sent"] for sample in samples),
        }

    return send


def smtp_source(count: int, at_a_time: int, *, reuse: bool = False) -> Send:
    """Return what runs Postfix's load generator, which is written in C and does not pipeline.

    Args:
        count: mails.
        at_a_time: connections.
        reuse: whether to send one mail after the other on each of them.
    """

    def send(port: int) -> Sample:
        program = find_program("smtp-source", "install Postfix")
        options = ["-s", str(at_a_time), "-m", str(count), "-l", "1000", "-c"]
        names = ("-M", CLIENT_NAME, "-f", SENDER, "-t", RECIPIENT)
        again = ["-d"] if reuse else []
        done = run_program([program, *options, *again, *names, f"{HOST}:{port}"], timeout=TIMEOUT)
        # It writes 1, 2, 3 ... each over the one before.
        counted = _COUNTED.findall(done.output.replace("\r", " ").replace("\b", " "))
        sent = int(counted[-1]) if counted else 0
        return {"seconds": done.seconds, "cpu": done.cpu, "sent": sent}

    return send


def against_sink(send: Send, count: int, warm_up: int) -> Sample:
    """Give somebody a turn against a smtp-sink, and believe the sink, not the client."""
    with SmtpSink() as sink:
        sample = send(sink.port)
    return _rates(sample, count, warm_up, mails=sink.mails, server_cpu=sink.cpu)


def against_own(send: Send, count: int, warm_up: int, **options: object) -> Sample:
    """Give somebody a turn against a `taking_server`, and believe the server.

    Args:
        send: the client.
        count: mails that it sends.
        warm_up: mails that it sends before the clock starts.
        options: what the server is told.

    Returns:
        What the client says, rates, and what the server says, as ``server_...``.
    """
    with OwnServer("taking_server", **options) as server:
        sample = send(server.port)
        server.tell("report")
        facts = server.hear(REPORT)
    rates = _rates(sample, count, warm_up, mails=facts["mails"], server_cpu=facts["cpu"])
    return {**rates, **{f"server_{name}": fact for name, fact in facts.items()}}


def _rates(
    sample: Sample, count: int, warm_up: int, *, mails: int, server_cpu: float
) -> dict[str, float]:
    if mails != count + warm_up or sample["sent"] != count:
        raise ChildError(
            f"was to send {count} emails after {warm_up}, and says that it sent"
            f" {sample['sent']:g}; the server has {mails} in all"
        )
    return {
        **sample,
        "mails_per_second": count / sample["seconds"],
        "cpu_ms_per_mail": sample["cpu"] / count * 1e3,
        "sink_cpu_ms_per_mail": server_cpu / (count + warm_up) * 1e3,
    }
