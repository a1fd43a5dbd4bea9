"""The AUTH dialog (RFC 4954): which mechanism, and its challenges and answers."""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .classification import Meaning, meaning
from .command import CANCEL_AUTH, auth, auth_response
from .extensions import Extensions
from .refusal import Garbled, Insecure, Refused
from .reply import Reply
from .sasl import Mechanism, SaslError
from .stage import Stage
from .step import Call, Script

MAX_ROUNDS = 10
"""Challenges at most: a server could ask for ever."""
_MAX_COMMAND = 12288  # RFC 4954 §4: octets of a line with an initial response
# RFC 4954 §4 and §6: the mechanism is not to be had, or too weak here; another may do.
_NOT_THIS_MECHANISM = frozenset({504, 534})
_SUCCESS = 235

MakeMechanism = Callable[[str | None, bytes | None], Mechanism]
"""Makes a mechanism for one attempt, of the token and the TLS channel binding, if there are any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """How to authenticate to a server.

    Attributes:
        mechanisms: for each name that may be used, in order of preference, what makes it.
        token: what gives an access token when it is called, or None. It may block, so whoever
            does the I/O calls it.
        shows_secret: the names of the mechanisms that show the secret to the server: they need
            verified TLS.
        allow_unsafe: whether they are used without it all the same.
    """

    mechanisms: Mapping[str, MakeMechanism]
    token: Callable[[], str] | None = None
    shows_secret: frozenset[str]
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
        """
        names = self._usable(server, extensions, is_safe=is_safe, is_bound=binding is not None)
        # RFC 5802 §6: where the server seems to know no -PLUS, say that we do: somebody may have
        # taken it out of the server's reply.
        offers_plus = any(name.endswith("-PLUS") for name in extensions.auth_mechanisms)

        def binds(name: str) -> bool:
            return name.endswith("-PLUS") or not offers_plus

        refusal: Refused | None = None
        for name in names:
            attempts = 2 if self.token is not None and name in ("XOAUTH2", "OAUTHBEARER") else 1
            for _ in range(attempts):
                # A token may have expired on the way: it is asked for again, once.
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
        names = [name for name in names if name not in self.shows_secret]
        if not names:
            raise Insecure(
                Stage.AUTH, f"{server} would see the password without verified TLS; not sent"
            )
        return names

    def _attempt(self, server: str, name: str, binding: bytes | None) -> Script:
        token: str | None = None
        if self.token is not None and name in ("XOAUTH2", "OAUTHBEARER"):
            answer = Call(self.token)
            yield answer
            token = answer.result
        mechanism = self.mechanisms[name](token, binding)
        initial = mechanism.start()
        reply = yield auth(name, None if initial is None else _encode(initial))
        for _ in range(MAX_ROUNDS):
            if reply.code != 334:
                break
            try:
                response = _encode(mechanism.respond(_decode(reply)))
            except SaslError as error:
                yield CANCEL_AUTH
                raise _given_up(server, error) from error
            reply = yield auth_response(response)
        else:
            raise Garbled(Stage.AUTH, f"{server} sent more than {MAX_ROUNDS} challenges")
        self._judge(server, mechanism, reply)

    def _judge(self, server: str, mechanism: Mechanism, reply: Reply) -> None:
        cause = meaning(Stage.AUTH, reply.code)
        if cause is not Meaning.GO_ON:
            raise Refused(Stage.AUTH, reply, cause)
        try:
            mechanism.finish()
        except SaslError as error:
            raise _given_up(server, error) from error


def _given_up(server: str, error: SaslError) -> Exception:
    if error.is_security:
        return Insecure(Stage.AUTH, f"{server} did not prove that it knows the password: {error}")
    return Garbled(Stage.AUTH, f"{server} sent a challenge that makes no sense: {error}")


def _encode(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def _decode(reply: Reply) -> bytes:
    if len(reply.lines) != 1 or len(reply.lines[0]) > _MAX_COMMAND:
        raise SaslError("it is too long")
    try:
        return base64.b64decode(reply.lines[0].strip().encode(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise SaslError("it is no base64") from error
