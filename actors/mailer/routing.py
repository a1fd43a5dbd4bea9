"""Where the parts of an email go: to the relays of a `Mailer`, or by the domain of each recipient.

The second is for delivery by MX, and for tests: `Route`s come from a function that is passed in.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

from ...smtp.mail.envelope import Envelope
from ...smtp.words.quirks import Quirks
from ...smtp.words.verdict import Failed
from ..options.options import Options
from .capacity.capacity import Limits
from .connections.pool import ConnectionPool, IdleConnections
from .connections.relay import Relay
from .jobs.job import Job, Part
from .queue.destination import Destination
from .queue.destinations import Destinations


@dataclass(frozen=True, slots=True)
class Route:
    """How to reach the recipients of one domain.

    Attributes:
        hosts: names or addresses of the hosts that accept email for the domain, in the order in
            which to try them. At least one.
        options: everything else, the same for each host.
    """

    hosts: tuple[str, ...]
    options: Options


FindRoute: TypeAlias = Callable[[str], Route | Failed]
"""Returns the route to a domain, or a failure. Called whenever a domain comes into use."""


class Routing:
    """Splits emails into parts, one for each destination.

    Args:
        destinations: those of the Mailer.
        limits: the limits of each relay.
        idle: the idle connections to all relays.
        find: returns the route to a domain; None if all emails go to the fixed relays.

    Attributes:
        is_by_domain: whether emails are split by the domains of their recipients.
        fixed: the destination of all emails otherwise.
    """

    def __init__(
        self,
        destinations: Destinations[Part],
        limits: Limits,
        idle: IdleConnections,
        find: FindRoute | None,
    ) -> None:
        self._destinations = destinations
        self._limits = limits
        self._idle = idle
        self._find = find
        self.is_by_domain: bool = find is not None
        self._nowhere: Destination[Part] = Destination(None, ())
        self.fixed: Destination[Part] = self._nowhere

    def fix(self, relays: Sequence[tuple[Options, float | None]]) -> Destination[Part]:
        """Send all emails to these relays, unless they go by domain.

        Args:
            relays: the options of each, and its weight, in the order in which to try them.
        """
        found = [
            (options.name, Relay(options, self._limits, self._pool(None), weight))
            for options, weight in relays
        ]
        self.fixed = self._destinations.add(None, found)
        return self.fixed

    def dead_relays(self) -> tuple[str, ...]:
        """Return the names of the relays in use that are dead."""
        if self._find is None:
            return tuple(relay.options.name for relay in relays_of(self.fixed) if relay.is_dead)
        return tuple(r.options.name for r in self._destinations.dead if isinstance(r, Relay))

    def relays_in_use(self) -> list[Relay]:
        """Return all relays in use. There may be many, so call it rarely."""
        return [relay for destination in self._destinations for relay in relays_of(destination)]

    def follow_connection_limit(self) -> None:
        """Apply the process's connection limit, which has changed, to each relay."""
        for destination in self._destinations:
            for relay in relays_of(destination):
                relay.follow_connection_limit()
            self._destinations.activate(destination)

    def split(self, job: Job, envelopes: Sequence[Envelope] | None = None) -> list[Failed | None]:
        """Split an email into parts, by the domains of its recipients.

        Args:
            job: the email.
            envelopes: whose recipients are in different parts in any case. Default: one.

        Returns:
            For each part a failure if it has no destination, else None.
        """
        assert self._find is not None
        parts: list[Part] = []
        failures: list[Failed | None] = []
        for envelope in (job.mail.envelope,) if envelopes is None else envelopes:
            by_domain: dict[str, list[str]] = {}
            for path in envelope.forward_paths:
                by_domain.setdefault(path.rpartition("@")[2].lower(), []).append(path)
            for domain, paths in by_domain.items():
                found = self._destination(domain, self._find)
                failures.append(found if isinstance(found, Failed) else None)
                destination = self._nowhere if isinstance(found, Failed) else found
                parts.append(Part(job, envelope.only(paths), destination))
        job.parts = tuple(parts)
        return failures

    def _destination(self, domain: str, find: FindRoute) -> Destination[Part] | Failed:
        destination = self._destinations.find(domain)
        if destination is not None:
            return destination
        route = find(domain)
        if isinstance(route, Failed):
            return route
        pool = partial(self._pool, domain)
        relays = [
            (host, Relay(options_for(route.options, host), self._limits, pool()))
            for host in route.hosts
        ]
        return self._destinations.add(domain, relays)

    def _pool(self, key: str | None) -> ConnectionPool:
        emptied = None if key is None else partial(self._destinations.retire_key, key)
        return ConnectionPool(self._idle, self._limits.max_mails_per_connection, emptied)


def relays_of(destination: Destination[Part]) -> list[Relay]:
    """Return the relays of a destination, with their type.

    Args:
        destination: any of a Mailer.
    """
    return [relay for relay in destination.relays if isinstance(relay, Relay)]


def options_for(options: Options, host: str) -> Options:
    """Return the same options for another host.

    Args:
        options: those of any.
        host: its name or address.
    """
    tls = None if options.tls is None else replace(options.tls, server_hostname=host)
    name = f"{host}:{options.port}"
    return replace(options, name=name, server=host, tls=tls, quirks=Quirks())
