"""AUTH without I/O: which mechanism, its challenges and answers, and what ends them."""

import base64
import traceback
from collections.abc import Callable, Sequence

import pytest
from conversations.rig import Rig
from servers.accounts import PASSWORD, TOKEN, USER
from servers.submission import AuthServer
from servers.twins import Twin

from pykka_smtp.smtp.sasl.mechanism import Mechanism, SaslError, SilentMechanism
from pykka_smtp.smtp.sasl.mechanisms import CramMd5, External, Login, Oauthbearer, Plain, Xoauth2
from pykka_smtp.smtp.sasl.secret import Redactor, Secret, leaks_of
from pykka_smtp.smtp.session.opening.authentication import MAX_ROUNDS, Authentication, MakeMechanism
from pykka_smtp.smtp.session.refusal import ProtocolViolation, Refused, SecurityTooWeak, Unsendable
from pykka_smtp.smtp.session.step import Action, RunCallable, Script
from pykka_smtp.smtp.words.classification import ReplyClass
from pykka_smtp.smtp.words.command import CANCEL_AUTH, Command
from pykka_smtp.smtp.words.extensions import Extensions
from pykka_smtp.smtp.words.reply import Reply
from pykka_smtp.smtp.words.stage import Stage
from pykka_smtp.smtp.words.verdict import Accepted, Failed, FailureKind

SERVER = "mx.test:587"
Hear = Callable[[str], str]

PASSWORD_MAKERS: dict[str, MakeMechanism] = {
    "CRAM-MD5": lambda _token, _binding: CramMd5(USER, Secret(PASSWORD)),
    "PLAIN": lambda _token, _binding: Plain(USER, Secret(PASSWORD)),
    "LOGIN": lambda _token, _binding: Login(USER, Secret(PASSWORD)),
}
TOKEN_MAKERS: dict[str, MakeMechanism] = {
    "OAUTHBEARER": lambda token, _binding: Oauthbearer(USER, token or Secret(""), "mx.test", 587),
    "XOAUTH2": lambda token, _binding: Xoauth2(USER, token or Secret("")),
}
EXTERNAL: dict[str, MakeMechanism] = {"EXTERNAL": lambda _token, _binding: External()}
MAKERS = EXTERNAL | TOKEN_MAKERS | PASSWORD_MAKERS
each_name = pytest.mark.parametrize("name", list(MAKERS))


def b64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def authentication(
    *names: str,
    tokens: Sequence[str] = (TOKEN,),
    makers: dict[str, MakeMechanism] | None = None,
    allow_unsafe: bool = False,
) -> Authentication:
    """By these mechanisms, or all."""
    available = makers or MAKERS
    fresh = iter(tokens)
    return Authentication(
        mechanisms={name: available[name] for name in names or available},
        token=lambda: Secret(next(fresh)),
        allow_unsafe=allow_unsafe,
    )


def replied(line: str) -> Reply:
    return Reply(int(line[:3]), (line[4:],))


def lead(script: Script, hear: Hear) -> list[str]:
    """Lead a script against a server; return what the client said."""
    said: list[str] = []
    step = next(script, None)
    while step is not None:
        try:
            if isinstance(step, RunCallable):
                step.result = step.function()
                step = next(script)
            else:
                assert isinstance(step, Command)
                said.append(step.line)
                step = script.send(replied(hear(step.line)))
        except StopIteration:
            break
    return said


def begin(
    chosen: Authentication, *offered: str, is_safe: bool = True, binding: bytes | None = None
) -> Script:
    extensions = Extensions({"AUTH": " ".join(offered)} if offered else {})
    return chosen.script(SERVER, extensions, is_safe=is_safe, binding=binding)


def always(*replies: str) -> Hear:
    """Answer with these; the last one again and again."""
    left = list(replies)
    return lambda line: left.pop(0) if len(left) > 1 else left[0]


class Endless(SilentMechanism):
    """Answers whatever it is asked."""

    name = "ENDLESS"

    def respond(self, challenge: bytes) -> bytes:
        return challenge


def endless() -> Authentication:
    return Authentication(mechanisms={"ENDLESS": lambda _token, _binding: Endless()})


# Mechanisms.


@each_name
def test_a_server_that_checks_is_convinced(name: str) -> None:
    server = AuthServer(subject=USER)

    lead(begin(authentication(name), name), server.hear)

    assert server.who == USER
    assert server.asked == [name]


def test_the_first_of_ours_is_the_first_whatever_the_order_of_the_server() -> None:
    server = AuthServer()

    lead(
        begin(authentication(*PASSWORD_MAKERS), "LOGIN", "PLAIN", "GSSAPI", "CRAM-MD5"), server.hear
    )

    assert server.asked == ["CRAM-MD5"]


def test_names_of_mechanisms_are_offered_in_any_case() -> None:
    server = AuthServer()

    lead(begin(authentication("PLAIN"), "plain"), server.hear)

    assert server.who == USER


@pytest.mark.parametrize("code", [500, 501, 502, 503, 504, 534, 535, 538, 553])
def test_a_mechanism_that_is_not_to_be_had_is_followed_by_the_next(code: int) -> None:
    server = AuthServer(replies={"CRAM-MD5": f"{code} 5.5.4 not here"})

    lead(begin(authentication(*PASSWORD_MAKERS), *PASSWORD_MAKERS), server.hear)

    assert server.asked == ["CRAM-MD5", "PLAIN"]
    assert server.who == USER


def test_when_no_mechanism_is_to_be_had_the_last_refusal_is_told() -> None:
    server = AuthServer(replies={"PLAIN": "504 5.5.4 not here", "LOGIN": "534 5.7.9 too weak"})

    with pytest.raises(Refused) as caught:
        lead(begin(authentication("PLAIN", "LOGIN"), "PLAIN", "LOGIN"), server.hear)

    assert str(caught.value.reply) == "534 5.7.9 too weak"
    assert server.asked == ["PLAIN", "LOGIN"]


def test_after_any_other_refusal_the_password_is_not_shown_again() -> None:
    for code in sorted(set(range(400, 600)) - {500, 501, 502, 503, 504, 534, 538}):
        server = AuthServer(replies={"PLAIN": f"{code} no"})

        with pytest.raises(Refused) as caught:
            lead(begin(authentication("PLAIN", "LOGIN"), "PLAIN", "LOGIN"), server.hear)

        assert server.asked == ["PLAIN"]
        assert caught.value.stage is Stage.AUTH
        assert caught.value.cause is (ReplyClass.TRANSIENT if code < 500 else ReplyClass.PERMANENT)


@pytest.mark.parametrize("code", [300, 335, 354])
def test_a_reply_that_can_not_follow_auth_makes_no_sense(code: int) -> None:
    with pytest.raises(Refused) as caught:
        lead(begin(authentication("PLAIN"), "PLAIN"), always(f"{code} go"))

    assert caught.value.cause is ReplyClass.UNEXPECTED


@pytest.mark.parametrize("code", [200, 220, 235, 250, 299])
def test_the_first_digit_says_yes(code: int) -> None:
    said = lead(begin(authentication("PLAIN"), "PLAIN"), always(f"{code} fine"))

    assert len(said) == 1


# Safety.


def test_credentials_for_a_server_that_offers_no_auth_stay_here() -> None:
    with pytest.raises(SecurityTooWeak, match=r"mx\.test:587 offers no AUTH, but credentials are"):
        next(begin(authentication("PLAIN")))


def test_where_nothing_is_common_the_error_names_both_sides() -> None:
    with pytest.raises(SecurityTooWeak, match=r"offers GSSAPI NTLM, enabled are PLAIN LOGIN"):
        next(begin(authentication("PLAIN", "LOGIN"), "NTLM", "GSSAPI"))


@pytest.mark.parametrize("name", ["PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"])
def test_what_shows_the_secret_is_not_said_without_verified_tls(name: str) -> None:
    with pytest.raises(SecurityTooWeak, match="password not sent") as caught:
        next(begin(authentication(name), name, is_safe=False))

    assert caught.value.stage is Stage.AUTH
    assert caught.value.last_command is None


@pytest.mark.parametrize("name", ["PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"])
def test_what_shows_the_secret_is_said_without_tls_if_that_is_allowed(name: str) -> None:
    server = AuthServer()

    lead(begin(authentication(name, allow_unsafe=True), name, is_safe=False), server.hear)

    assert server.who == USER


@pytest.mark.parametrize("name", ["CRAM-MD5", "EXTERNAL"])
def test_what_shows_no_secret_needs_no_tls(name: str) -> None:
    server = AuthServer(subject=USER)

    lead(begin(authentication(name), name, is_safe=False), server.hear)

    assert server.who == USER


def test_without_tls_the_weaker_mechanism_that_keeps_the_secret_is_taken() -> None:
    server = AuthServer()

    lead(
        begin(authentication("PLAIN", "CRAM-MD5"), "PLAIN", "CRAM-MD5", is_safe=False), server.hear
    )

    assert server.asked == ["CRAM-MD5"]


@pytest.mark.parametrize(
    ("offered", "binding", "made", "bound"),
    [
        (("X", "X-PLUS"), b"hash", "X-PLUS", b"hash"),
        (("X",), b"hash", "X", b"hash"),  # "I could bind, but you seem not to": RFC 5802 §6
        (("X", "X-PLUS"), None, "X", None),
        (("X",), None, "X", None),
    ],
)
def test_a_mechanism_is_bound_to_tls_where_that_can_be(
    offered: tuple[str, ...], binding: bytes | None, made: str, bound: bytes | None
) -> None:
    makings: list[tuple[str, bytes | None]] = []

    def maker(name: str) -> MakeMechanism:
        def make(token: Secret | None, binding: bytes | None) -> Mechanism:
            makings.append((name, binding))
            return Endless()

        return make

    chosen = Authentication(mechanisms={"X-PLUS": maker("X-PLUS"), "X": maker("X")})

    lead(begin(chosen, *offered, binding=binding), always("235 ok"))

    assert makings == [(made, bound)]
    assert chosen.can_bind
    assert not authentication("PLAIN").can_bind


def test_the_second_choice_does_not_say_that_it_could_have_been_bound() -> None:
    # RFC 5802 §6: a server that offers -PLUS would take that for somebody's meddling.
    makings: list[bytes | None] = []

    def make(token: Secret | None, binding: bytes | None) -> Mechanism:
        makings.append(binding)
        return Endless()

    chosen = Authentication(mechanisms={"X-PLUS": make, "X": make})

    lead(begin(chosen, "X", "X-PLUS", binding=b"hash"), always("504 not that", "235 ok"))

    assert makings == [b"hash", None]


def test_where_only_plus_is_offered_and_nothing_binds_there_is_no_mechanism() -> None:
    chosen = Authentication(mechanisms={"X-PLUS": lambda _token, _binding: Endless()})

    with pytest.raises(SecurityTooWeak, match="no common SASL mechanism"):
        next(begin(chosen, "X-PLUS"))


# Challenges.


def test_challenges_without_an_end_have_one() -> None:
    said: list[str] = []

    def hear(line: str) -> str:
        said.append(line)
        return "334 bW9yZQ=="

    with pytest.raises(ProtocolViolation, match=f"more than {MAX_ROUNDS} challenges") as caught:
        lead(begin(endless(), "ENDLESS"), hear)

    assert said == ["AUTH ENDLESS", *["bW9yZQ=="] * MAX_ROUNDS]
    assert caught.value.last_command is CANCEL_AUTH


def test_as_many_challenges_as_are_allowed_are_answered() -> None:
    replies = always(*["334 bW9yZQ=="] * MAX_ROUNDS, "235 at last")

    assert len(lead(begin(endless(), "ENDLESS"), replies)) == 1 + MAX_ROUNDS


@each_name
def test_no_mechanism_is_asked_for_ever(name: str) -> None:
    said: list[str] = []

    def hear(line: str) -> str:
        said.append(line)
        return "334 bW9yZQ=="

    with pytest.raises(ProtocolViolation, match="sent an invalid challenge") as caught:
        lead(begin(authentication(name), name), hear)

    assert len(said) <= 3
    assert caught.value.stage is Stage.AUTH
    assert caught.value.last_command is CANCEL_AUTH


@pytest.mark.parametrize(
    ("challenge", "why"),
    [
        (Reply(334, ("no base64!",)), "it is not base64"),
        (Reply(334, ("YW Jj",)), "it is not base64"),
        (Reply(334, ("=AAA",)), "it is not base64"),
        (Reply(334, (r"YWJj\xff",)), "it is not base64"),
        (Reply(334, ("äWJj",)), "it is not base64"),
        (Reply(334, ("YWJj", "YWJj")), "it has more than one line"),
        (Reply(334, (b64(b"x" * 9219),)), "it is too long"),  # 12292 characters
    ],
)
def test_an_invalid_challenge_ends_the_exchange(challenge: Reply, why: str) -> None:
    script = begin(endless(), "ENDLESS")
    next(script)

    with pytest.raises(ProtocolViolation, match=why) as caught:
        script.send(challenge)

    assert caught.value.last_command is CANCEL_AUTH


@pytest.mark.parametrize("challenge", ["", b64(b"x" * 9216)])
def test_the_shortest_and_the_longest_challenge_are_answered(challenge: str) -> None:
    script = begin(endless(), "ENDLESS")
    next(script)

    answer = script.send(Reply(334, (challenge,)))

    assert isinstance(answer, Command)
    assert answer.line == challenge


class Doubter(SilentMechanism):
    """Finds that the server does not know the password."""

    name = "DOUBT"

    def __init__(self, *, is_security: bool) -> None:
        self._is_security = is_security

    def respond(self, challenge: bytes) -> bytes:
        raise SaslError("wrong proof", is_security=self._is_security)

    def finish(self) -> None:
        raise SaslError("no proof", is_security=self._is_security)


@pytest.mark.parametrize(
    ("is_security", "kind"), [(True, SecurityTooWeak), (False, ProtocolViolation)]
)
def test_a_wrong_proof_ends_the_exchange(is_security: bool, kind: type[SecurityTooWeak]) -> None:
    chosen = Authentication(mechanisms={"DOUBT": lambda *_: Doubter(is_security=is_security)})

    with pytest.raises(kind, match="wrong proof") as caught:
        lead(begin(chosen, "DOUBT"), always("334 "))

    assert caught.value.last_command is CANCEL_AUTH


def test_success_without_a_proof_is_a_failure() -> None:
    chosen = Authentication(mechanisms={"DOUBT": lambda *_: Doubter(is_security=True)})

    with pytest.raises(SecurityTooWeak, match="did not prove that it knows the password") as caught:
        lead(begin(chosen, "DOUBT"), always("235 welcome"))

    assert caught.value.last_command is None  # the exchange is over for the server


# The first response.


def test_an_empty_initial_response_is_an_equals_sign() -> None:  # RFC 4954 §4
    assert lead(begin(authentication("EXTERNAL"), "EXTERNAL"), always("235 ok")) == [
        "AUTH EXTERNAL ="
    ]


@pytest.mark.parametrize("surplus", [0, 1])
def test_an_initial_response_that_makes_the_line_too_long_waits(surplus: int) -> None:
    # RFC 4954 §4: 512 octets with CRLF, as for any command.
    size = (512 - len("AUTH XOAUTH2 \r\n")) // 4 * 3 + surplus
    token = "t" * (size - len(f"user={USER}\x01auth=Bearer \x01\x01"))
    server = AuthServer(tokens={token: USER})

    said = lead(begin(authentication("XOAUTH2", tokens=[token]), "XOAUTH2"), server.hear)

    assert server.who == USER
    assert len(said) == 1 + surplus
    assert max(len(line) for line in said if line.startswith("AUTH")) + 2 <= 512


@pytest.mark.parametrize(("size", "lines"), [(372, 1), (373, 2)])
def test_a_line_of_512_octets_is_not_too_long(size: int, lines: int) -> None:
    makers: dict[str, MakeMechanism] = {"EXTERNAL": lambda *_: External("u" * size)}
    server = AuthServer(subject="u" * size)

    said = lead(begin(authentication(makers=makers), "EXTERNAL"), server.hear)

    assert server.who == "u" * size
    assert len(said) == lines
    assert (len(said[0]) + 2 == 512) is (lines == 1)


def test_a_long_token_that_is_refused_is_told_so() -> None:
    server = AuthServer(tokens={})

    with pytest.raises(Refused) as caught:
        lead(
            begin(authentication("OAUTHBEARER", tokens=["t" * 900] * 2), "OAUTHBEARER"), server.hear
        )

    assert caught.value.reply.code == 535
    assert server.asked == ["OAUTHBEARER"] * 2


# Tokens.


@pytest.mark.parametrize("name", list(TOKEN_MAKERS))
def test_a_token_that_is_refused_is_asked_for_once_more(name: str) -> None:
    server = AuthServer()

    lead(begin(authentication(name, tokens=["stale", TOKEN]), name), server.hear)

    assert server.asked == [name, name]
    assert server.who == USER


def test_a_token_that_is_refused_twice_is_refused() -> None:
    server = AuthServer()

    with pytest.raises(Refused) as caught:
        lead(begin(authentication(tokens=["stale", "old", TOKEN]), *TOKEN_MAKERS), server.hear)

    assert server.asked == ["OAUTHBEARER"] * 2
    assert caught.value.reply.code == 535


def test_a_token_is_not_asked_for_again_if_the_refusal_will_pass() -> None:
    server = AuthServer(replies={"XOAUTH2": "454 4.7.0 later"})

    with pytest.raises(Refused) as caught:
        lead(begin(authentication("XOAUTH2", tokens=[TOKEN]), "XOAUTH2"), server.hear)

    assert caught.value.cause is ReplyClass.TRANSIENT
    assert server.asked == ["XOAUTH2"]


def test_a_token_is_not_asked_for_again_if_the_answer_makes_no_sense() -> None:
    server = AuthServer(replies={"XOAUTH2": "354 go"})

    with pytest.raises(Refused) as caught:
        lead(begin(authentication("XOAUTH2", tokens=[TOKEN]), "XOAUTH2"), server.hear)

    assert caught.value.cause is ReplyClass.UNEXPECTED
    assert server.asked == ["XOAUTH2"]


def test_a_token_that_was_there_from_the_start_is_shown_once() -> None:
    server = AuthServer()
    chosen = Authentication(mechanisms={"XOAUTH2": lambda *_: Xoauth2(USER, Secret("stale"))})

    with pytest.raises(Refused):
        lead(begin(chosen, "XOAUTH2"), server.hear)

    assert server.asked == ["XOAUTH2"]


def test_no_token_is_asked_for_where_none_is_needed() -> None:
    server = AuthServer()

    lead(begin(authentication("PLAIN", tokens=[]), "PLAIN"), server.hear)

    assert server.who == USER


@pytest.mark.parametrize(
    ("token", "why"),
    [("", "token: empty"), ("Bearer x", "Bearer"), ("x\n", "file"), ("ü", "ASCII")],
)
def test_a_token_that_can_not_be_sent_is_the_programs_affair(token: str, why: str) -> None:
    with pytest.raises(Unsendable, match=f"no token that can be sent: .*{why}") as caught:
        lead(begin(authentication("XOAUTH2", tokens=[token]), "XOAUTH2"), always("235 never"))

    assert caught.value.stage is Stage.AUTH


# What is left in the frames.


@pytest.mark.parametrize("name", ["PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2", "OAUTHBEARER"])
def test_an_error_at_any_step_takes_no_secret_along(name: str) -> None:
    forms = [*leaks_of(PASSWORD, TOKEN, user=None), *map(repr, (PASSWORD, TOKEN))]
    for steps in range(4):
        server = AuthServer()
        script = begin(authentication(name, tokens=[TOKEN, TOKEN]), name)
        try:
            step = next(script)
            for _ in range(steps):
                if isinstance(step, RunCallable):
                    step.result = step.function()
                    step = next(script)
                else:
                    assert isinstance(step, Command)
                    step = script.send(replied(server.hear(step.line)))
        except StopIteration:
            break
        with pytest.raises(RuntimeError) as caught:
            script.throw(RuntimeError("a defect"))
        told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        text = "".join(str(frame.locals) for frame in told.stack if frame.filename != __file__)
        assert "extensions" in text  # it does show the frames
        assert not [form for form in forms if form in text]
        assert not [form for form in forms if form in repr((step, script, server.who))]


# In the whole dialog.


class Client(Rig):
    """A session with credentials, and whoever calls what is to be called."""

    def __init__(self, chosen: Authentication, *, is_lmtp: bool = False) -> None:
        super().__init__()
        self.function: RunCallable | None = None
        session = self.delivery.session
        session.authentication, session.is_lmtp = chosen, is_lmtp
        session.is_encrypted = session.is_verified = True
        redact = Redactor(leaks_of(PASSWORD, user=USER)).redact
        self.dialog = Twin(self.delivery, self._note, redact)

    def perform(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, RunCallable):
                self.function = action
        super().perform(actions)

    def meet(self, *offered: str) -> "Client":
        """Hear the greeting and what the server offers."""
        self.connect()
        self.hear(b"220 mx.test\r\n")
        assert self.line().startswith(("EHLO", "LHLO"))
        auth = f"AUTH {' '.join(offered)}" if offered else "HELP"
        self.hear(f"250-mx.test\r\n250 {auth}\r\n".encode())
        return self

    @property
    def failure(self) -> Failed:
        assert isinstance(self.verdict, Failed)
        return self.verdict


@pytest.mark.parametrize("is_lmtp", [False, True])
def test_a_mail_follows_when_the_server_knows_who_we_are(is_lmtp: bool) -> None:
    client = Client(authentication("PLAIN"), is_lmtp=is_lmtp).meet("PLAIN")

    assert client.line() == f"AUTH PLAIN {b64(f'{chr(0)}{USER}{chr(0)}{PASSWORD}'.encode())}"
    client.hear(b"235 welcome\r\n")

    assert client.line() == "MAIL FROM:<a@b.test>"
    assert client.trace[4:6] == ["C: AUTH PLAIN ***", "S: 235 welcome"]


@pytest.mark.parametrize(
    ("said", "kind", "retryable", "detail"),
    [
        (b"535 5.7.8 no\r\n", FailureKind.SMTP, False, "refused the credentials: 535 5.7.8 no"),
        (b"454 4.7.0 later\r\n", FailureKind.SMTP, True, "refused the credentials: 454"),
        (b"421 4.3.0 bye\r\n", FailureKind.SMTP, True, "421 4.3.0 bye"),
        (b"354 go\r\n", FailureKind.PROTOCOL, True, "broke the protocol at auth"),
        (b"334 !\r\n", FailureKind.PROTOCOL, True, "not base64"),
        (b"334 YQ==\r\n", FailureKind.PROTOCOL, True, "unexpected challenge"),
        (b"334 " + b"YWFh" * 1100 + b"\r\n", FailureKind.PROTOCOL, True, "over 4096 octets"),
        (b"235-a\r\n535 b\r\n", FailureKind.PROTOCOL, True, "two codes"),
        (b"235 a\r\n250 b\r\n", FailureKind.PROTOCOL, True, "not asked for"),
    ],
)
def test_each_answer_to_auth_has_its_verdict_and_no_mail_is_begun(
    said: bytes, kind: FailureKind, retryable: bool, detail: str
) -> None:
    client = Client(authentication("PLAIN")).meet("PLAIN")
    client.line()

    client.hear(said)

    assert (client.failure.kind, client.failure.retryable) == (kind, retryable)
    assert client.failure.stage is Stage.AUTH
    assert detail in client.failure.detail
    assert not client.failure.maybe_accepted
    assert b"MAIL" not in client.stream


@pytest.mark.parametrize("said", [b"334 !\r\n", b"334 YQ==\r\n"])
def test_the_verdict_does_not_wait_for_the_answer_to_the_cancel(said: bytes) -> None:
    client = Client(authentication("PLAIN")).meet("PLAIN")
    client.line()

    client.hear(said)

    assert client.failure.kind is FailureKind.PROTOCOL
    assert client.line() == "*"  # RFC 4954 §4
    assert client.closed is None
    client.hear(b"501 cancelled\r\n")
    assert client.closed is not None


def test_a_server_without_proof_is_told_so_before_it_can_hang_up() -> None:
    chosen = Authentication(mechanisms={"DOUBT": lambda *_: Doubter(is_security=True)})
    client = Client(chosen).meet("DOUBT")

    client.line()
    client.hear(b"334 \r\n")
    assert client.line() == "*"
    client.lose()

    assert (client.failure.kind, client.failure.retryable) == (FailureKind.SECURITY, False)


def test_who_is_refused_takes_leave() -> None:
    client = Client(authentication("PLAIN")).meet("PLAIN")
    client.line()

    client.hear(b"535 no\r\n")

    assert client.line() == "QUIT"


@pytest.mark.parametrize(
    ("replies", "stage", "detail"),
    [
        (b"250-mx.test\r\n250 HELP\r\n", Stage.AUTH, "offers no AUTH"),
        (b"502 what?\r\n", Stage.EHLO, "knows no EHLO, so no AUTH: 502 what?"),
    ],
)
def test_without_auth_there_is_no_mail(replies: bytes, stage: Stage, detail: str) -> None:
    client = Client(authentication("PLAIN"))
    client.connect()
    client.hear(b"220 mx.test\r\n")
    client.line()

    client.hear(replies)

    assert (client.failure.kind, client.failure.stage) == (FailureKind.SECURITY, stage)
    assert detail in client.failure.detail
    assert client.line() == "QUIT"


def test_a_token_is_asked_for_outside_and_goes_on_when_it_is_there() -> None:
    client = Client(authentication("XOAUTH2")).meet("XOAUTH2")

    assert client.function is not None
    assert client.dialog.stage is Stage.AUTH
    assert not client.said
    client.perform(client.dialog.callable_returned(client.function.function()))

    assert client.line().startswith("AUTH XOAUTH2 ")
    client.hear(b"235 ok\r\n")
    assert client.line().startswith("MAIL")


def test_a_token_works_without_a_redactor() -> None:
    client = Client(authentication("XOAUTH2"))
    client.dialog = Twin(client.delivery)
    client.meet("XOAUTH2")

    client.perform(client.dialog.callable_returned(Secret(TOKEN)))

    assert client.line().startswith("AUTH XOAUTH2 ")


def test_a_token_that_comes_too_late_is_not_used() -> None:
    client = Client(authentication("XOAUTH2")).meet("XOAUTH2")

    client.time_out()
    client.perform(client.dialog.callable_returned(Secret(TOKEN)))

    assert client.failure.kind is FailureKind.TIMEOUT
    assert client.failure.detail == "no token for mx.test:25: the token callable took over 30 s"
    assert not client.said


@pytest.mark.parametrize("said", [b"421 bye\r\n", b"250 hello?\r\n"])
def test_what_a_server_says_while_the_token_is_fetched_is_no_answer_to_it(said: bytes) -> None:
    client = Client(authentication("XOAUTH2")).meet("XOAUTH2")

    client.hear(said)
    client.perform(client.dialog.callable_returned(Secret(TOKEN)))

    assert client.failure.kind is (
        FailureKind.SMTP if said.startswith(b"421") else FailureKind.PROTOCOL
    )
    assert not client.said


def test_a_token_is_masked_from_the_moment_it_is_known_and_so_is_the_one_before() -> None:
    client = Client(authentication("XOAUTH2", tokens=["first-token", "second-token"]))
    client.meet("XOAUTH2")
    for echo in (b"first-token", b"first-token second-token"):
        assert client.function is not None
        client.perform(client.dialog.callable_returned(client.function.function()))
        client.line()
        client.hear(b"535 no: " + echo + b"\r\n")

    assert client.failure.reply == Reply(535, ("no: *** ***",))
    assert client.failure.detail.endswith("535 no: *** ***")
    assert "-token" not in "\n".join(client.trace)


def test_a_token_that_can_not_be_sent_is_a_local_failure() -> None:
    client = Client(authentication("XOAUTH2")).meet("XOAUTH2")

    client.perform(client.dialog.callable_returned(Secret("")))

    assert (client.failure.kind, client.failure.stage) == (FailureKind.LOCAL, Stage.AUTH)
    assert not client.failure.retryable
    assert client.line() == "QUIT"


# What the server knows, and says again.


def test_a_password_that_is_called_as_an_extension_does_not_hide_it() -> None:
    for word in ("auth", "plain", "AUTH PLAIN", "250"):
        client = Client(authentication("PLAIN"))
        client.dialog = Twin(
            client.delivery, client._note, Redactor(leaks_of(word, user=USER)).redact
        )
        client.meet("PLAIN")

        assert client.line().startswith("AUTH PLAIN ")
        assert f"S: 250 {word}".lower() not in "\n".join(client.trace).lower()


def test_a_secret_among_the_extensions_is_masked_in_the_detail() -> None:
    client = Client(authentication("PLAIN")).meet(
        PASSWORD.replace(" ", "-"), b64(PASSWORD.encode())
    )

    assert client.failure.kind is FailureKind.SECURITY
    assert b64(PASSWORD.encode()) not in client.failure.detail.upper()
    assert "***" in client.failure.detail


def test_a_secret_that_is_spread_over_the_lines_of_a_reply_is_masked() -> None:
    client = Client(authentication("PLAIN")).meet("PLAIN")
    client.line()
    half = len(PASSWORD) // 2

    client.hear(f"535-you said: {PASSWORD[:half]}\r\n535 {PASSWORD[half:]}\r\n".encode())

    assert client.failure.reply == Reply(535, ("***", "***"))
    assert client.trace[-3:] == ["S: 535-***", "S: 535 ***", "C: QUIT"]


def test_a_warning_shows_no_secret() -> None:
    client = Client(authentication("PLAIN")).meet("PLAIN")
    client.line()
    client.hear(b"235 ok\r\n")
    for reply in (b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
        client.line()
        client.hear(reply)
    client.data()
    client.dialog._delivery.session.warn(f"heard {PASSWORD}")

    client.hear(b"250 taken\r\n")

    assert isinstance(client.verdict, Accepted)
    assert client.verdict.warnings == ("heard ***",)
