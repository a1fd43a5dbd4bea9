"""The AUTH dialog (RFC 4954): which mechanism, and its challenges and answers."""

import base64
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass

from ..sasl.credentials import SHOW_SECRET, WITH_TOKEN
from ..sasl.mechanism import Mechanism, SaslError
from ..sasl.secret import Secret
from ..words.classification import ReplyClass, classify
from ..words.command import CANCEL_AUTH, Command, auth, auth_response
from ..words.extensions import Extensions
from ..words.reply import Reply
from ..words.stage import Stage
from .refusal import ProtocolViolation, Refused, SecurityTooWeak, Unsendable
from .step import RunCallable, Script, Step

MAX_ROUNDS = 10
"""Challenges at most: a server could ask for ever."""
_MAX_COMMAND = 512  # RFC 5321 §4.5.3.1.4: octets of a command line
_MAX_CHALLENGE = 12288  # RFC 4954 §4: octets of a challenge in base64
# The mechanism is not to be had, or not like this (RFC 4954 §4 and §6, RFC 5321 §4.2.4).
_NOT_THIS_MECHANISM = frozenset({500, 501, 502, 503, 504, 534, 538})


def _ignore(_refused: Refused | None) -> None:
    """Note nothing."""


MakeMechanism = Callable[[Secret | None, bytes | None], Mechanism]
"""Makes a mechanism for one attempt, of the token and the TLS channel binding, if there are any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """How to authenticate to a server.

    Attributes:
        mechanisms: for each name that may be used, in order of preference, what makes it.
        token: what gives an access token when it is called, or None where the mechanisms need
            none or have one. It may block, so whoever does the I/O calls it.
        allow_unsafe: whether mechanisms that show the secret to the server are used without
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
        """Authenticate, by the first mechanism that the server takes.

        Args:
            server: the server's name for messages.
            extensions: what it offers now.
            is_safe: whether TLS is up and the server is verified.
            binding: the channel binding of that TLS (RFC 5929), if there is one.
            note: called with a refusal after which another mechanism is tried, and with None once
                one was taken.

        Raises:
            Refused: the server refused us.
            SecurityTooWeak: no mechanism may be used, or the server could not prove itself.
            ProtocolViolation: the server's challenges make no sense.
            Unsendable: what should have given a token gave none that can be sent.
        """
        names = self._usable(server, extensions, is_safe=is_safe, is_bound=binding is not None)
        # RFC 5802 §6: where the server seems to know no -PLUS, say that we do: somebody may have
        # taken it out of the server's reply.
        offers_plus = any(name.endswith("-PLUS") for name in extensions.auth_mechanisms)
        refusal: Refused | None = None
        for name in names:
            chosen = binding if name.endswith("-PLUS") or not offers_plus else None
            # A token may have expired on the way: it is asked for again, once.
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
                break  # wrong credentials are not shown by a weaker mechanism as well
        assert refusal is not None
        raise refusal

    def _uses_token_callable(self, name: str) -> bool:
        """Whether a mechanism takes a token that must be asked for."""
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
        # No local variable here may hold a response in clear: an error that comes from further
        # below would show it. A command does not show what is in it.
        server = attempt.server
        mechanism = yield from self._make(attempt.name, binding)
        command, held = _opening(mechanism)
        attempt.shows(mechanism, is_said=held is None and mechanism.start() is not None)
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
                raise _given_up(server, error, CANCEL_AUTH) from error
            held = None
            attempt.shows(mechanism, is_said=True)
            reply = yield command
        cause = classify(Stage.AUTH, reply.code)
        if cause is not ReplyClass.POSITIVE:
            raise Refused(Stage.AUTH, reply, cause)
        try:
            mechanism.finish()
        except SaslError as error:
            raise _given_up(server, error) from error

    def _make(self, name: str, binding: bytes | None) -> Generator[Step, Reply, Mechanism]:
        """Make a mechanism, of a fresh token if it takes one."""
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
        self._is_said = False  # whether the server has seen any of the credentials
        self._shows_secret = False

    def shows(self, mechanism: Mechanism, *, is_said: bool) -> None:
        """Note whether the server has now been told what the mechanism tells."""
        self._is_said = self._is_said or is_said
        self._shows_secret = self._is_said and mechanism.shows_secret

    def is_unfit(self, reply: Reply) -> bool:
        """Whether a refusal for good is one of the mechanism, so that another may do.

        Any that comes instead of a challenge is: the server has seen no credentials yet. 534 is,
        too: "too weak" (RFC 4954 §6). But Google's servers say by it that they want another
        password, or a login in a browser: then what shows it once more is one failed login more.
        """
        if not self._is_said:
            return True
        if reply.code == 534 and self._shows_secret and reply.enhanced is not None:
            text = reply.text.lower()
            return "mechanism" in text or "weak" in text
        return reply.code in _NOT_THIS_MECHANISM

    def describe(self, reply: Reply) -> str:
        """Return one line for people."""
        what = "the credentials" if self._is_said else "to authenticate us"
        by = f"by AUTH {self.name}; auth= chooses another mechanism"
        return f"{self.server} ({by}) refused {what}: {reply}"


def _no_mechanism(server: str, extensions: Extensions, *, is_safe: bool) -> str:
    """Say that a server offers no AUTH, and what may be behind it."""
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
    # LOGIN's prompts are often no base64, and nobody needs to read them.
    return mechanism.respond(_decode(reply) if mechanism.reads_challenges else b"")


def _opening(mechanism: Mechanism) -> tuple[Command, Command | None]:
    """Return the AUTH command, and what answers the first challenge if that is known already.

    Nor is there a response in clear in a local variable here.
    """
    alone = auth(mechanism.name, None)
    if mechanism.start() is None:
        return alone, None
    answer = auth_response(_encode(mechanism.start()))
    command = auth(mechanism.name, answer.line)
    if len(command.wire) <= _MAX_COMMAND:
        return command, None
    # RFC 4954 §4: then the response has to wait for an empty challenge.
    return alone, answer


def _given_up(server: str, error: SaslError, last_command: Command | None = None) -> Exception:
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
