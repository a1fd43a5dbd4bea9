"""The AUTH exchange (RFC 4954): the choice of the mechanism, its challenges and responses."""

import base64
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass

from ...sasl.credentials import SHOW_SECRET, WITH_TOKEN
from ...sasl.mechanism import Mechanism, SaslError
from ...sasl.secret import Secret
from ...words.classification import ReplyClass, classify
from ...words.command import CANCEL_AUTH, Command, auth, auth_response
from ...words.extensions import Extensions
from ...words.reply import Reply
from ...words.stage import Stage
from ..refusal import ProtocolViolation, Refused, SecurityTooWeak, Unsendable
from ..step import RunCallable, Script, Step

MAX_ROUNDS = 10
"""Challenges in one exchange: no mechanism needs more than 3, and a server could never stop."""
_MAX_COMMAND = 512  # RFC 5321 §4.5.3.1.4: octets of a command line
_MAX_CHALLENGE = 12288  # RFC 4954 §4: octets of a challenge in base64
# The mechanism is not available, or not under these conditions (RFC 4954 §4, §6, RFC 5321 §4.2.4).
_NOT_THIS_MECHANISM = frozenset({500, 501, 502, 503, 504, 534, 538})


def _ignore(_refused: Refused | None) -> None:
    """Do nothing."""


MakeMechanism = Callable[[Secret | None, bytes | None], Mechanism]
"""Makes a mechanism for one exchange, from the token and the TLS channel binding, if any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """How to authenticate to a server.

    Attributes:
        mechanisms: for each enabled name, in order of preference, the factory of the mechanism.
        token: a callable that returns an access token, or None if the mechanisms need none or have
            one already. It may block, so the I/O layer calls it, in a thread.
        allow_unsafe: whether mechanisms that disclose the secret to the server are used without
            verified TLS.
    """

    mechanisms: Mapping[str, MakeMechanism]
    token: Callable[[], Secret] | None = None
    allow_unsafe: bool = False

    @property
    def can_bind(self) -> bool:
        """Whether a mechanism could be bound to TLS (RFC 5802 §6)."""
        return any(name.endswith("-PLUS") for name in self.mechanisms)

    def script(
        self,
        server: str,
        extensions: Extensions,
        *,
        is_safe: bool,
        binding: bytes | None,
        note: Callable[[Refused | None], None] = _ignore,
    ) -> Script:
        """Authenticate, by the first mechanism that the server accepts.

        Args:
            server: the server's name for messages.
            extensions: what it offers now.
            is_safe: whether TLS is established and the server is verified.
            binding: the channel binding of that TLS (RFC 5929), if there is one.
            note: called with a rejection after which another mechanism is tried, and with None
                once one was accepted.

        Raises:
            Refused: the server rejected the authentication.
            SecurityTooWeak: no mechanism may be used, or the server could not prove its identity.
            ProtocolViolation: the server's challenges are invalid.
            Unsendable: the token callable returned no token that can be sent.
        """
        names = self._usable(server, extensions, is_safe=is_safe, is_bound=binding is not None)
        # RFC 5802 §6: if the server offers no -PLUS, tell it that the client supports it: an
        # attacker may have removed it from the server's reply.
        offers_plus = any(name.endswith("-PLUS") for name in extensions.auth_mechanisms)
        refusal: Refused | None = None
        for name in names:
            chosen = binding if name.endswith("-PLUS") or not offers_plus else None
            # A token may have expired meanwhile: it is fetched again, once.
            for _ in range(2 if self._uses_token_callable(name) else 1):
                attempt = _Attempt(server, name)
                try:
                    yield from self._attempt(attempt, chosen)
                except Refused as refused:
                    refusal = refused
                    note(refused)
                    refused.detail = attempt.describe(refused.reply)
                    if refused.ends_session or refused.reply.is_transient:
                        raise
                    if attempt.is_unfit(refused.reply):
                        break
                else:
                    note(None)
                    return
            else:
                break  # rejected credentials are not sent again by a weaker mechanism
        assert refusal is not None
        raise refusal

    def _uses_token_callable(self, name: str) -> bool:
        """Whether a mechanism takes a token that a callable returns."""
        return self.token is not None and name in WITH_TOKEN

    def _usable(
        self, server: str, extensions: Extensions, *, is_safe: bool, is_bound: bool
    ) -> Sequence[str]:
        offered = extensions.auth_mechanisms
        if not offered:
            raise SecurityTooWeak(Stage.AUTH, _no_mechanism(server, extensions, is_safe=is_safe))
        names = [
            name
            for name in self.mechanisms
            if name in offered and (is_bound or not name.endswith("-PLUS"))
        ]
        if not names:
            raise SecurityTooWeak(
                Stage.AUTH,
                f"no common SASL mechanism: {server} offers {' '.join(sorted(offered))},"
                f" enabled are {' '.join(self.mechanisms)}",
            )
        if is_safe or self.allow_unsafe:
            return names
        names = [name for name in names if name not in SHOW_SECRET]
        if not names:
            raise SecurityTooWeak(
                Stage.AUTH,
                f"password not sent: {server} offers only mechanisms that disclose it,"
                " and the connection has no verified TLS",
            )
        return names

    def _attempt(self, attempt: "_Attempt", binding: bytes | None) -> Script:
        # No local variable here may hold an unencoded response: an error raised further below
        # would show it. The `repr` of a Command hides its line.
        server = attempt.server
        mechanism = yield from self._make(attempt.name, binding)
        command, held = _opening(mechanism)
        attempt.sends(mechanism, credentials=held is None and mechanism.start() is not None)
        reply = yield command
        challenges = 0
        while reply.code == 334:
            challenges += 1
            if challenges > MAX_ROUNDS:
                detail = f"{server} sent more than {MAX_ROUNDS} challenges"
                raise ProtocolViolation(Stage.AUTH, detail, CANCEL_AUTH)
            try:
                command = held or auth_response(_encode(_respond(mechanism, reply)))
            except SaslError as error:
                raise _exchange_error(server, error, CANCEL_AUTH) from error
            held = None
            attempt.sends(mechanism, credentials=True)
            reply = yield command
        cause = classify(Stage.AUTH, reply.code)
        if cause is not ReplyClass.POSITIVE:
            raise Refused(Stage.AUTH, reply, cause)
        try:
            mechanism.finish()
        except SaslError as error:
            raise _exchange_error(server, error) from error

    def _make(self, name: str, binding: bytes | None) -> Generator[Step, Reply, Mechanism]:
        """Make a mechanism, with a fresh token if it takes one."""
        if self.token is None or not self._uses_token_callable(name):
            return self.mechanisms[name](None, binding)
        answer = RunCallable(self.token)
        yield answer
        try:
            return self.mechanisms[name](answer.result, binding)
        except ValueError as error:
            raise Unsendable(
                f"the token callable returned no token that can be sent: {error}", Stage.AUTH
            ) from error


class _Attempt:
    """One attempt to authenticate.

    Attributes:
        server: the server's name for messages.
        name: the mechanism's.
    """

    def __init__(self, server: str, name: str) -> None:
        self.server, self.name = server, name
        self._credentials_sent = False  # whether any part of the credentials was sent
        self._shows_secret = False

    def sends(self, mechanism: Mechanism, *, credentials: bool) -> None:
        """Record whether the next command has a part of the credentials."""
        self._credentials_sent = self._credentials_sent or credentials
        self._shows_secret = self._credentials_sent and mechanism.shows_secret

    def is_unfit(self, reply: Reply) -> bool:
        """Whether a permanent rejection is about the mechanism, so that another one may work.

        It is if it comes instead of the first challenge: no credentials were sent yet. So is 534:
        "too weak" (RFC 4954 §6). But Google's servers reply 534 if they require another password,
        or a login in a browser: then sending the password once more is one more failed login.
        """
        if not self._credentials_sent:
            return True
        if reply.code == 534 and self._shows_secret and reply.enhanced is not None:
            text = reply.text.lower()
            return "mechanism" in text or "weak" in text
        return reply.code in _NOT_THIS_MECHANISM

    def describe(self, reply: Reply) -> str:
        """Return the detail of a rejection: one line for people."""
        what = "the credentials" if self._credentials_sent else "to authenticate us"
        by = f"by AUTH {self.name}; auth= chooses another mechanism"
        return f"{self.server} ({by}) refused {what}: {reply}"


def _no_mechanism(server: str, extensions: Extensions, *, is_safe: bool) -> str:
    """Return the detail for a server that offers no AUTH, with the likely reason."""
    detail = f"{server} offers no AUTH, but credentials are configured"
    if "X-EXPS" in extensions:
        return (
            f"{detail}: it has only X-EXPS, which is for Exchange servers among each other; switch"
            " on basic authentication for its receive connector, or use another port, such as 587"
        )
    if is_safe:
        return detail
    return f"{detail}; if it needs none, as a development server, leave them out"


def _respond(mechanism: Mechanism, reply: Reply) -> bytes:
    # LOGIN's prompts are often not base64, and its responses do not depend on them.
    return mechanism.respond(_decode(reply) if mechanism.reads_challenges else b"")


def _opening(mechanism: Mechanism) -> tuple[Command, Command | None]:
    """Return the AUTH command, and the initial response if it must wait for the first challenge.

    Here, too, no local variable holds an unencoded response.
    """
    alone = auth(mechanism.name, None)
    if mechanism.start() is None:
        return alone, None
    answer = auth_response(_encode(mechanism.start()))
    command = auth(mechanism.name, answer.line)
    if len(command.wire) <= _MAX_COMMAND:
        return command, None
    # RFC 4954 §4: then the initial response must wait for an empty challenge.
    return alone, answer


def _exchange_error(
    server: str, error: SaslError, last_command: Command | None = None
) -> Exception:
    if error.is_security:
        detail = f"{server} did not prove that it knows the password: {error}"
        return SecurityTooWeak(Stage.AUTH, detail, last_command)
    return ProtocolViolation(
        Stage.AUTH, f"{server} sent an invalid challenge: {error}", last_command
    )


def _encode(octets: bytes | None) -> str:
    return base64.b64encode(octets or b"").decode()


def _decode(reply: Reply) -> bytes:
    if len(reply.lines) != 1:
        raise SaslError("it has more than one line")
    if len(reply.lines[0]) > _MAX_CHALLENGE:
        raise SaslError("it is too long")
    try:
        return base64.b64decode(reply.lines[0].strip().encode(), validate=True)
    except ValueError as error:
        raise SaslError("it is not base64") from error
