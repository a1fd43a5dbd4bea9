"""Who sends in the soak: Mailers of several kinds, each with its own servers and habits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pykka_smtp import NO_RETRY, RetryPolicy

from .soak_servers import Servers
from .surroundings import HOST

TIMEOUT = 0.4
"""Seconds that a server has for a step: few, for they stall hundreds of times."""
DEADLINE = 3.0
"""Seconds for an attempt."""
GRACE = 0.3
"""Seconds that a Mailer has to finish what flies when it is stopped."""

_PATIENT = RetryPolicy(
    max_attempts=6, initial_delay=0.03, max_delay=0.3, jitter=0.5, give_up_after=20
)
_AT_LEAST_ONCE = RetryPolicy(max_attempts=6, initial_delay=0.02, max_delay=0.2, at_least_once=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One who sends, and how.

    Attributes:
        name: the alias.
        options: those of `Mailer.start`; of `SmtpActor.start` if it is not a Mailer.
        most: mails that are told and have no outcome yet, at most.
        burst: mails that are told at once.
        rest: seconds to wait after each burst, where most of it is refused at once.
        pause: seconds to wait now and then, so that connections grow idle.
        may_double: whether its mails may come twice.
        is_mailer: whether it is a Mailer, or sends by a new `SmtpActor` for each mail.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    most: int = 60
    burst: int = 10
    rest: float = 0.0
    pause: float = 0.0
    may_double: bool = False
    is_mailer: bool = True


def parts(servers: Servers) -> list[Part]:
    """Return all of them.

    Args:
        servers: where they send to.
    """
    urls = {name: f"smtp://{HOST}:{port}" for name, port in servers.ports.items()}
    base: dict[str, Any] = {
        "timeout": TIMEOUT,
        "deadline": DEADLINE,
        "grace": GRACE,
        "retry": _PATIENT,
        "local_hostname": "c.test",
    }

    def at(place: str, **options: Any) -> dict[str, Any]:
        return base | {"server": HOST, "port": servers.ports[place]} | options

    backups = [urls["backup"], urls["plain"]]
    weighed = [(urls["pipelining"], 2.0), (urls["backup"], 1.0)]
    found = [
        Part(name="plain", options=at("plain", max_connections=5), pause=0.3),
        Part(
            name="few mails each",
            options=at("pipelining", max_mails_per_connection=3, idle_timeout=0.2),
            pause=0.6,
        ),
        Part(
            name="chunking",
            options=at("chunking", max_connections=10, initial_connections=10),
            most=200,
            burst=50,
        ),
        Part(
            name="paced",
            options=at("pipelining", rate="100/s burst 10", max_queued=60),
            most=120,
            burst=100,
            rest=0.25,
        ),
        Part(name="backed", options=at("shaky", backups=backups), pause=0.2),
        Part(name="weighed", options=at("shaky", backups=weighed, max_mails_per_connection=10)),
        Part(
            name="twice", options=at("chunking", retry=_AT_LEAST_ONCE), may_double=True, pause=0.1
        ),
        Part(
            name="once",
            options=at("plain", retry=NO_RETRY, max_queued=20),
            most=40,
            burst=40,
            rest=0.1,
        ),
    ]
    if servers.trust is not None:
        tls = {"tls": "starttls", "tls_context": servers.trust, "max_mails_per_connection": 25}
        found.append(Part(name="starttls", options=at("starttls", **tls), pause=0.4))
    single = at("pipelining")
    del single["retry"], single["grace"]
    found.append(Part(name="single", options=single, most=3, burst=1, is_mailer=False))
    return found
