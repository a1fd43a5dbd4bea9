"""The AUTH dialog (RFC 4954): which mechanism, and its challenges and answers."""

import base64
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass

from .classification import Meaning, meaning
from .command import CANCEL_AUTH, Command, auth, auth_response
from .credentials import SHOW_SECRET, WITH_TOKEN
from .extensions import Extensions
from .mechanism import Mechanism, SaslError
from .refusal import Garbled, Insecure, Refused, Unsendable
from .reply import Reply
from .secret import Secret
from .stage import Stage
from .step import Call, Script, Step

MAX_ROUNDS = 10
"""Challenges at most: a server could ask for ever."""
_MAX_COMMAND = 512  # RFC 5321 §4.5.3.1.4: octets of a command line
_MAX_CHALLENGE = 12288  # RFC 4954 §4: octets of a challenge in base64
# RFC 4954 §4 and §6: the mechanism is not to be had, or too weak here; another may do.
_NOT_THIS_MECHANISM = frozenset({504, 534})

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
        self, server: str, extensions: Extensions, *, is_safe: bool, binding: bytes | None
    ) -> Script:
        """Authenticate, by the first mechanism that the server takes.

        Args:
            server: the server's name for messages.
            extensions: what it offers now.
            is_safe: whether TLS is up and the server is verified.
            binding: the channel binding of that TLS (RFC 5929), if there is one.

        Raises:
            Refused: the server refused us.
            Insecure: no mechanism may be used, or the server could not prove itself.
            Garbled: the server's challenges make no sense.
            Unsendable: what should have given a token gave none that can be sent.
        """
        names = self._usable(server, extensions, is_safe=is_safe, is_bound=binding is not None)
        # RFC 5802 §6: where the server seems to know no -PLUS, say that we do: somebody may have
        # taken it out of the server's reply.
        offers_plus = any(name.endswith("-PLUS") for name in extensions.auth_mechanisms)

        def binds(name: str) -> bool:
            return name.endswith("-PLUS") or not offers_plus

        refusal: Refused | None = None
        for name in names:
            # A token may have expired on the way: it is asked for again, once.
            for _ in range(2 if self._fetches(name) else 1):
                try:
                    yield from self._attempt(server, name, binding if binds(name) else None)
                except Refused as refused:
                    refusal = refused
                    if refused.ends_session or refused.reply.is_transient:
                        raise
                    if refused.reply.code in _NOT_THIS_MECHANISM:
                        break
                else:
                    return
            if refusal is None or refusal.reply.code not in _NOT_THIS_MECHANISM:
                break  # wrong credentials are not shown by a weaker mechanism as well
        assert refusal is not None
        raise refusal

    def _fetches(self, name: str) -> bool:
        """Whether a mechanism takes a token that must be asked for."""
        return self.token is not None and name in WITH_TOKEN

    def _usable(
        self, server: str, extensions: Extensions, *, is_safe: bool, is_bound: bool
    ) -> Sequence[str]:
        offered = extensions.auth_mechanisms
        if not offered:
            raise Insecure(Stage.AUTH, f"{server} offers no AUTH, and credentials were given")
        names = [
            name
            for name in self.mechanisms
            if name in offered and (is_bound or not name.endswith("-PLUS"))
        ]
        if not names:
            raise Insecure(
                Stage.AUTH,
                f"{server} offers no mechanism that may be used: it has"
                f" {' '.join(sorted(offered))}, allowed are {' '.join(self.mechanisms)}",
            )
        if is_safe or self.allow_unsafe:
            return names
        names = [name for name in names if name not in SHOW_SECRET]
        if not names:
            raise Insecure(
                Stage.AUTH, f"{server} would see the password without verified TLS; not sent"
            )
        return names

    def _attempt(self, server: str, name: str, binding: bytes | None) -> Script:
        # No local variable here may hold a response in clear: an error that comes from further
        # below would show it. A command does not show what is in it.
        mechanism = yield from self._make(name, binding)
        command, held = _opening(mechanism)
        reply = yield command
        challenges = 0
        while reply.code == 334:
            challenges += 1
            if challenges > MAX_ROUNDS:
                detail = f"{server} sent more than {MAX_ROUNDS} challenges"
                raise Garbled(Stage.AUTH, detail, CANCEL_AUTH)
            try:
                command = held or auth_response(_encode(mechanism.respond(_decode(reply))))
            except SaslError as error:
                raise _given_up(server, error, CANCEL_AUTH) from error
            held = None
            reply = yield command
        cause = meaning(Stage.AUTH, reply.code)
        if cause is not Meaning.GO_ON:
            raise Refused(Stage.AUTH, reply, cause)
        try:
            mechanism.finish()
        except SaslError as error:
            raise _given_up(server, error) from error

    def _make(self, name: str, binding: bytes | None) -> Generator[Step, Reply, Mechanism]:
        """Make a mechanism, of a fresh token if it takes one."""
        if self.token is None or not self._fetches(name):
            return self.mechanisms[name](None, binding)
        answer = Call(self.token)
        yield answer
        try:
            return self.mechanisms[name](answer.result, binding)
        except ValueError as error:
            raise Unsendable(
                f"the token callable returned no token that can be sent: {error}", Stage.AUTH
            ) from error


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


def _given_up(server: str, error: SaslError, farewell: Command | None = None) -> Exception:
    if error.is_security:
        detail = f"{server} did not prove that it knows the password: {error}"
        return Insecure(Stage.AUTH, detail, farewell)
    return Garbled(Stage.AUTH, f"{server} sent a challenge that makes no sense: {error}", farewell)


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
        raise SaslError("it is no base64") from error
