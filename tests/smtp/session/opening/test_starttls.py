"""STARTTLS without I/O: when it is said, what may come back, and what is believed afterwards."""

import itertools

import pytest
from conversations.rig import Rig

from pykka_smtp.smtp.sasl.mechanisms import Plain
from pykka_smtp.smtp.sasl.secret import Secret
from pykka_smtp.smtp.session.dialog.dialog import Dialog
from pykka_smtp.smtp.session.opening.authentication import Authentication
from pykka_smtp.smtp.session.opening.session import Session, TlsPolicy
from pykka_smtp.smtp.session.step import Action, StartTls
from pykka_smtp.smtp.words.stage import Stage
from pykka_smtp.smtp.words.verdict import Accepted, Failed, FailureKind

PASSWORD = "Zx9-correct-horse"  # in no other text
OFFER = b"250-mx.test\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n"
NO_OFFER = b"250-mx.test\r\n250 HELP\r\n"
WANTS = (TlsPolicy.OPPORTUNISTIC, TlsPolicy.OFFERED, TlsPolicy.REQUIRED)
each_that_wants_tls = pytest.mark.parametrize("policy", WANTS)


def password() -> Authentication:
    return Authentication(mechanisms={"PLAIN": lambda *_: Plain("me", Secret(PASSWORD))})


class Client(Rig):
    """A session that may start TLS.

    Attributes:
        handshakes: how often the dialog asked for one.
    """

    def __init__(
        self, policy: TlsPolicy, chosen: Authentication | None = None, *, is_lmtp: bool = False
    ) -> None:
        super().__init__()
        self.handshakes = 0
        session = self.session
        session.tls_policy, session.authentication, session.is_lmtp = policy, chosen, is_lmtp

    @property
    def failure(self) -> Failed:
        assert isinstance(self.verdict, Failed)
        return self.verdict

    @property
    def what(self) -> str:
        return f"{self.failure.kind.name} at {self.failure.stage}"

    def perform(self, actions: list[Action]) -> None:
        self.handshakes += sum(isinstance(action, StartTls) for action in actions)
        super().perform(actions)

    def greet(self, offer: bytes = OFFER) -> "Client":
        """Hear the greeting, and the reply to EHLO."""
        self.connect()
        self.hear(b"220 mx.test\r\n")
        assert self.line().startswith(("EHLO", "LHLO"))
        self.hear(offer)
        return self

    def agree(self) -> "Client":
        """Hear that TLS may begin."""
        assert self.line() == "STARTTLS"
        self.hear(b"220 go\r\n")
        assert self.handshakes == 1
        return self

    def encrypt(self, offer: bytes, *, verified: bool = True) -> "Client":
        """TLS is up; hear the second EHLO reply."""
        self.perform(self.dialog.tls_started(verified=verified))
        assert self.line().startswith(("EHLO", "LHLO"))
        self.hear(offer)
        return self


# When it is said.


@each_that_wants_tls
@pytest.mark.parametrize("is_lmtp", [False, True])
def test_tls_is_started_where_it_is_offered(policy: TlsPolicy, is_lmtp: bool) -> None:
    client = Client(policy, is_lmtp=is_lmtp).greet().agree().encrypt(NO_OFFER)

    assert client.line() == "MAIL FROM:<a@b.test>"
    assert client.session.is_encrypted
    assert client.session.is_verified
    assert client.trace[-3:] == ["S: 250-mx.test", "S: 250 HELP", "C: MAIL FROM:<a@b.test>"]
    assert "C: <TLS, verified>" in client.trace


def test_tls_is_not_started_where_it_is_not_wanted() -> None:
    client = Client(TlsPolicy.OFF).greet()

    assert client.line() == "MAIL FROM:<a@b.test>"


@pytest.mark.parametrize("policy", [TlsPolicy.OPPORTUNISTIC, TlsPolicy.OFFERED])
def test_where_tls_is_not_offered_it_may_be_done_without(policy: TlsPolicy) -> None:
    client = Client(policy).greet(NO_OFFER)

    assert client.line() == "MAIL FROM:<a@b.test>"
    assert not client.session.is_encrypted
    assert client.session.warnings == ()


@pytest.mark.parametrize("chosen", [None, password()])
def test_where_tls_is_required_and_not_offered_nothing_is_sent(
    chosen: Authentication | None,
) -> None:
    client = Client(TlsPolicy.REQUIRED, chosen).greet(NO_OFFER)

    assert client.what == "SECURITY at starttls"
    hint = "" if chosen is None else " and no AUTH; if it needs no password, "
    assert client.failure.detail.startswith(f"mx.test:25 offers no STARTTLS{hint}")
    assert not client.failure.retryable
    assert client.lines() == ["QUIT"]


@pytest.mark.parametrize("word", ["STARTTLSX", "XSTARTTLS", "START TLS", "AUTH STARTTLS"])
def test_only_the_whole_word_offers_tls(word: str) -> None:
    client = Client(TlsPolicy.REQUIRED).greet(f"250-mx.test\r\n250 {word}\r\n".encode())

    assert client.what == "SECURITY at starttls"


@pytest.mark.parametrize("word", ["starttls", "StartTLS", " STARTTLS", "STARTTLS REQUIRED"])
def test_the_word_may_be_in_either_case_and_have_parameters(word: str) -> None:
    Client(TlsPolicy.REQUIRED).greet(f"250-mx.test\r\n250 {word}\r\n".encode()).agree()


def test_a_server_that_knows_no_ehlo_has_no_tls() -> None:
    client = Client(TlsPolicy.REQUIRED).greet(b"502 what?\r\n")

    assert client.what == "SECURITY at ehlo"
    assert client.failure.detail == "mx.test:25 knows no EHLO, so no TLS: 502 what?"
    assert client.lines() == ["QUIT"]


@pytest.mark.parametrize("policy", [TlsPolicy.OPPORTUNISTIC, TlsPolicy.OFFERED])
def test_a_server_that_knows_no_ehlo_may_do_without_tls(policy: TlsPolicy) -> None:
    client = Client(policy).greet(b"502 what?\r\n")

    assert client.line() == "HELO c.test"


def test_a_connection_that_began_with_tls_is_not_encrypted_twice() -> None:
    client = Client(TlsPolicy.REQUIRED, password())
    client.dialog.tls_is_up(verified=True)

    client.greet()

    assert client.line().startswith("AUTH PLAIN ")
    assert client.trace[0] == "C: <TLS, verified>"


# The answer.


@each_that_wants_tls
def test_every_other_answer_leaves_the_session_without_tls(policy: TlsPolicy) -> None:
    for code in sorted({*range(200, 600)} - {220}):
        client = Client(policy).greet()
        assert client.line() == "STARTTLS"

        client.hear(f"{code} what?\r\n".encode())

        assert client.handshakes == 0
        if code == 421:
            assert (client.what, client.failure.retryable) == ("SMTP at starttls", True)
        elif policy is TlsPolicy.REQUIRED:
            assert client.what == "SECURITY at starttls"
            assert client.failure.detail == f"mx.test:25 did not start TLS: {code} what?"
        elif code < 400:
            assert client.what == "PROTOCOL at starttls"
        else:
            assert client.verdict is None
            assert client.session.warnings == (
                f"sent without TLS: the server offered it, then said {code} what?",
            )
        assert (b"MAIL" in client.stream) is (client.verdict is None)


def test_an_email_sent_in_plaintext_despite_starttls_has_a_warning() -> None:
    client = Client(TlsPolicy.OPPORTUNISTIC).greet()
    client.line()

    client.hear(b"454 4.7.0 not now\r\n")
    for reply in (b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
        client.line()
        client.hear(reply)
    client.data()
    client.hear(b"250 taken\r\n")

    assert isinstance(client.verdict, Accepted)
    assert client.verdict.warnings == (
        "sent without TLS: the server offered it, then said 454 4.7.0 not now",
    )


INJECTED = [
    b"250 mx.test\r\n",
    b"250-mx.test\r\n250 AUTH PLAIN\r\n",
    b"235 welcome\r\n250 ok\r\n250 ok\r\n354 go\r\n250 taken\r\n",
    b"421 bye\r\n",
    b"250 mx.t",
    b"2",
    b"\r",
    b"\n",
    b"\x16\x03\x03",
    b"\0",
]


@pytest.mark.parametrize("policy", WANTS)
@pytest.mark.parametrize("injected", INJECTED)
def test_a_single_plaintext_octet_after_the_220_is_an_attack(
    policy: TlsPolicy, injected: bytes
) -> None:
    client = Client(policy, password()).greet()
    assert client.line() == "STARTTLS"

    client.hear(b"220 go\r\n" + injected)

    assert client.what == "SECURITY at starttls"
    assert "possible response injection (RFC 3207 §6)" in client.failure.detail
    assert (client.failure.retryable, client.handshakes) == (False, 0)
    assert client.has_left()
    assert client.closed is not None
    assert client.closed.reset


def test_what_comes_in_pieces_behind_the_220_is_one_attack() -> None:
    client = Client(TlsPolicy.REQUIRED).greet()
    client.line()

    client.hear(b"220 g")
    client.hear(b"o\r\n2")

    assert client.what == "SECURITY at starttls"


@pytest.mark.parametrize("early", [b"220 go\r\n", b"250 ok\r\n", b"2"])
def test_a_reply_before_the_command_does_not_count(early: bytes) -> None:
    client = Client(TlsPolicy.REQUIRED).greet(OFFER + early)

    assert client.handshakes == 0
    assert not client.said
    assert (client.verdict is None) is (early == b"2")


# The handshake.


@each_that_wants_tls
def test_a_handshake_that_fails_is_told_at_its_stage(policy: TlsPolicy) -> None:
    ends = {
        "TIMEOUT": lambda dialog: dialog.timed_out(30.0),
        "CONNECTION": lambda dialog: dialog.connection_lost("read", 104, "reset"),
        "CANCELLED": Dialog.cancel,
        "SECURITY": lambda dialog: dialog.fail(FailureKind.SECURITY, "no TLS"),
    }
    for kind, end in ends.items():
        client = Client(policy).greet().agree()
        assert client.dialog.stage is Stage.STARTTLS

        client.perform(end(client.dialog))  # type: ignore[no-untyped-call]

        assert client.what == f"{kind} at starttls"
        assert not client.said
        assert client.dialog.tls_started(verified=True) == []


def test_the_clock_of_the_handshake_is_its_own() -> None:
    client = Client(TlsPolicy.REQUIRED).greet()
    before = client.dialog.steps
    client.agree()

    assert client.dialog.steps > before


# What is believed afterwards.


def test_what_was_offered_before_tls_is_forgotten() -> None:
    before = b"250-mx.test\r\n250-STARTTLS\r\n250-SIZE 9\r\n250-PIPELINING\r\n250 CHUNKING\r\n"

    client = Client(TlsPolicy.REQUIRED).greet(before).agree().encrypt(NO_OFFER)

    # The mail is larger than 9 octets.
    assert client.lines() == ["MAIL FROM:<a@b.test>"]


def test_what_is_offered_under_tls_counts() -> None:
    client = Client(TlsPolicy.REQUIRED).greet(b"250-mx.test\r\n250 STARTTLS\r\n").agree()

    client.encrypt(b"250-mx.test\r\n250 PIPELINING\r\n")

    assert len(client.lines()) == 3


@pytest.mark.parametrize("offer", [NO_OFFER, b"250 mx.test\r\n", b"250-mx.test\r\n250 AUTH\r\n"])
def test_auth_that_vanishes_under_tls_is_not_done_without(offer: bytes) -> None:
    client = Client(TlsPolicy.REQUIRED, password()).greet().agree().encrypt(offer)

    assert client.what == "SECURITY at auth"
    assert client.failure.detail == "mx.test:25 offers no AUTH, but credentials are configured"
    assert client.lines() == ["QUIT"]


def test_credentials_wait_for_tls() -> None:
    client = Client(TlsPolicy.REQUIRED, password()).greet().agree()

    assert b"AUTH" not in client.stream
    assert client.encrypt(OFFER).line().startswith("AUTH PLAIN ")


def test_a_password_is_not_sent_to_an_unverified_server() -> None:
    client = Client(TlsPolicy.REQUIRED, password()).greet().agree()

    client.encrypt(OFFER, verified=False)

    assert client.what == "SECURITY at auth"
    assert client.lines() == ["QUIT"]
    assert "C: <TLS, not verified>" in client.trace


def test_tls_that_is_offered_under_tls_is_not_started_again() -> None:
    client = Client(TlsPolicy.REQUIRED).greet(b"250-mx.test\r\n250 STARTTLS\r\n").agree()

    client.encrypt(b"250-mx.test\r\n250 STARTTLS\r\n")

    assert client.line() == "MAIL FROM:<a@b.test>"
    assert client.handshakes == 1


@pytest.mark.parametrize("chosen", [None, password()])
def test_a_server_that_knows_no_ehlo_under_tls_is_asked_by_helo(
    chosen: Authentication | None,
) -> None:
    client = Client(TlsPolicy.REQUIRED, chosen).greet().agree().encrypt(b"500 what?\r\n")

    if chosen is None:
        assert client.line() == "HELO c.test"
    else:
        assert client.what == "SECURITY at ehlo"
        assert "so no AUTH" in client.failure.detail


@pytest.mark.parametrize("said", [b"550 no\r\n", b"421 bye\r\n"])
def test_a_server_that_refuses_ehlo_under_tls_refuses_us(said: bytes) -> None:
    client = Client(TlsPolicy.REQUIRED).greet().agree().encrypt(said)

    assert client.what == "SMTP at ehlo"
    assert list(client.session.extensions) == []  # what was offered before TLS is forgotten


# Another attempt, in clear.


def test_only_opportunistic_tls_is_followed_by_an_attempt_in_plaintext() -> None:
    for kind, stage, policy, chosen, encrypted in itertools.product(
        FailureKind, Stage, TlsPolicy, (None, password()), (False, True)
    ):
        session = Session(
            server="mx.test:25",
            ehlo_name="c.test",
            tls_policy=policy,
            authentication=chosen,
            is_encrypted=encrypted,
        )
        in_clear = (
            kind in (FailureKind.SECURITY, FailureKind.CONNECTION)
            and (stage, policy, chosen) == (Stage.STARTTLS, TlsPolicy.OPPORTUNISTIC, None)
        )  # fmt: skip

        second = session.fallback(kind, stage)

        if stage is Stage.STARTTLS:
            assert (second is not None) is in_clear
        if second is not None and in_clear:
            assert second.tls_policy is TlsPolicy.OFF
            assert len(second.warnings) == 1
        elif second is not None:
            assert second.tls_policy is policy
            assert policy is not TlsPolicy.REQUIRED
            assert chosen is None


@pytest.mark.parametrize("injected", INJECTED)
def test_an_attack_is_not_followed_by_an_attempt_in_plaintext(injected: bytes) -> None:
    client = Client(TlsPolicy.OPPORTUNISTIC).greet()
    client.line()

    client.hear(b"220 go\r\n" + injected)

    assert client.failure.kind is FailureKind.SECURITY
    assert client.delivery.fallback(client.failure) is None


def test_an_attempt_in_plaintext_speaks_the_same_protocol() -> None:
    client = Client(TlsPolicy.OPPORTUNISTIC, is_lmtp=True).greet().agree()
    client.perform(client.dialog.fail(FailureKind.SECURITY, "no TLS"))

    second = client.delivery.fallback(client.failure)

    assert second is not None
    assert second.session.is_lmtp
    assert (second.session.server, second.session.ehlo_name) == (client.session.server, "c.test")
    assert second.fallback(client.failure) is None
