"""TLS without a socket: whatever the octets are cut into, and whatever comes in them."""

import contextlib
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers.certificates import Certificates, server_context
from servers.certificates import Tls as ServerTls

from pykka_smtp.actors.net.tls.channel import TlsChannel
from pykka_smtp.actors.net.tls.failures import failure_of, is_alert
from pykka_smtp.actors.net.tls.tls import choose_tls

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
REPLY = b"250 2.0.0 taken\r\n"


class Pair:
    """A channel and its server, with nothing between them but octets."""

    def __init__(
        self,
        server: ssl.SSLContext,
        client: ssl.SSLContext,
        *,
        cut: Callable[[bytes], list[bytes]] = lambda octets: [octets],
    ) -> None:
        self.channel = TlsChannel(client, "localhost")
        self._to_server, self._to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = server.wrap_bio(self._to_server, self._to_client, server_side=True)
        self._cut = cut
        self.error: ssl.SSLError | None = None  # the server's

    def shake_hands(self) -> bytes:
        """Lead the handshake; return what the server has to say after it: session tickets."""
        self._to_server.write(self.channel.begin())
        for _ in range(5):
            try:
                self.server.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                self.error = error
                break
            else:
                if self.channel.is_up:
                    break
            self.hear(self.said())
        return self.said()

    def said(self) -> bytes:
        """What the server has sent, and nobody has taken yet."""
        return self._to_client.read()

    def hear(self, octets: bytes) -> bytes:
        """Give octets to the channel, and its answer to the server."""
        text = b"".join(self.channel.receive(part) for part in self._cut(octets))
        self._to_server.write(self.channel.take())
        return text

    def sealed(self, text: bytes) -> bytes:
        """Return a record of the server's."""
        self.server.write(text)
        return self.said()

    def give(self, octets: bytes) -> None:
        """Give octets to the server."""
        self._to_server.write(octets)


def contexts(
    certificates: Certificates, version: ssl.TLSVersion, **tls: object
) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    asked = ServerTls(certificate=certificates.good, **tls)  # type: ignore[arg-type]
    server = server_context(asked)
    server.maximum_version = version
    return server, certificates.trusting()


@pytest.fixture(params=VERSIONS, ids=["1.2", "1.3"])
def pair(request: pytest.FixtureRequest, certificates: Certificates) -> Pair:
    return Pair(*contexts(certificates, request.param))


@pytest.fixture
def standing(pair: Pair) -> Pair:
    """One whose handshake is done, and whose tickets have come."""
    assert pair.hear(pair.shake_hands()) == b""
    assert pair.channel.is_up
    return pair


def test_a_session_ticket_is_not_text_and_delays_nothing(standing: Pair) -> None:
    channel = standing.channel

    assert (channel.has_heard, channel.has_part, channel.is_closed) == (False, False, False)
    assert channel.error is None


def test_octets_one_by_one_are_the_same_as_all_at_once(certificates: Certificates) -> None:
    for version in VERSIONS:
        pair = Pair(
            *contexts(certificates, version),
            cut=lambda octets: [octets[i : i + 1] for i in range(len(octets))],
        )
        assert pair.hear(pair.shake_hands()) == b""
        assert pair.hear(pair.sealed(REPLY)) == REPLY
        assert not pair.channel.has_part


@given(st.data())
def test_records_may_be_cut_anywhere(certificates: Certificates, data: st.DataObject) -> None:
    pair = Pair(*contexts(certificates, data.draw(st.sampled_from(VERSIONS))))
    octets = pair.shake_hands() + pair.sealed(REPLY) + pair.sealed(b"x" * 20_000)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=8)))

    text = b""
    for start, end in zip([0, *cuts], [*cuts, len(octets)], strict=True):
        text += pair.channel.receive(octets[start:end])

    assert text == REPLY + b"x" * 20_000
    assert not pair.channel.has_part


def test_a_partial_record_is_not_text_and_is_noticed(standing: Pair) -> None:
    record, channel = standing.sealed(REPLY), standing.channel

    for at in range(len(record) - 1):
        assert channel.receive(record[at : at + 1]) == b""
        assert channel.has_part
    assert channel.receive(record[-1:]) == REPLY
    assert not channel.has_part


def test_a_record_behind_another_is_known_when_only_its_beginning_is_here(standing: Pair) -> None:
    first, second = standing.sealed(REPLY), standing.sealed(b"554 spam\r\n")

    assert standing.channel.receive(first + second[:3]) == REPLY
    assert standing.channel.has_part
    assert standing.channel.receive(second[3:]) == b"554 spam\r\n"


@pytest.mark.parametrize("size", [0, 1, 16_384, 16_385, 300_000])
def test_what_is_encrypted_is_what_the_server_reads(standing: Pair, size: int) -> None:
    text = bytes(range(256)) * (size // 256 + 1)
    text = text[:size]

    standing.give(standing.channel.encrypt(text) if text else b"")

    heard = b""
    with contextlib.suppress(ssl.SSLWantReadError):
        while True:
            heard += standing.server.read(65_536)
    assert heard == text
    assert not standing.channel.is_holding


def test_close_notify_is_sent_without_waiting_for_the_servers(standing: Pair) -> None:
    standing.give(standing.channel.close())

    with contextlib.suppress(ssl.SSLZeroReturnError):
        assert standing.server.read(10) == b""
    with contextlib.suppress(ssl.SSLWantReadError):
        standing.server.unwrap()
    assert standing.channel.receive(standing.said()) == b""
    assert standing.channel.is_closed


def test_the_servers_close_notify_ends_its_input(standing: Pair) -> None:
    octets = standing.sealed(REPLY)
    with contextlib.suppress(ssl.SSLWantReadError):
        standing.server.unwrap()

    assert standing.hear(octets + standing.said()) == REPLY
    assert standing.channel.is_closed
    assert standing.hear(b"250 in clear\r\n") == b""


def test_text_that_came_before_tls_broke_counts(standing: Pair) -> None:
    octets = standing.sealed(REPLY) + b"\x17\x03\x03\x00\x20" + b"no record" * 4

    assert standing.hear(octets) == REPLY
    assert standing.channel.error is not None
    assert standing.channel.encrypt(b"QUIT\r\n") == b""
    assert standing.channel.close() == b""


def test_plaintext_in_place_of_a_handshake_is_reported_as_such(pair: Pair) -> None:
    pair.channel.begin()

    assert pair.channel.receive(b"2") == b""
    assert pair.channel.receive(b"20 mx.test ESMTP\r\n") == b""
    assert pair.channel.met_clear_text
    assert pair.channel.error is not None


def test_text_that_cannot_be_encrypted_yet_is_held_and_is_not_lost(
    certificates: Certificates,
) -> None:
    """A handshake in the middle of a connection: TLS 1.2 has them, if the program allows it."""

    class Hesitant(ssl.SSLObject):
        waits = 0

        def write(self, data: object) -> int:
            if Hesitant.waits:
                Hesitant.waits -= 1
                raise ssl.SSLWantReadError
            return super().write(data)  # type: ignore[arg-type]

    server, client = contexts(certificates, ssl.TLSVersion.TLSv1_3)
    client.sslobject_class = Hesitant
    pair = Pair(server, client)
    pair.hear(pair.shake_hands())
    Hesitant.waits = 2

    assert pair.channel.encrypt(b"MAIL FROM:<>\r\n") == b""
    assert pair.channel.is_holding
    pair.hear(pair.sealed(b"x"))
    assert pair.channel.is_holding
    assert pair.channel.encrypt(b"RCPT TO:<a@b.test>\r\n") == b""
    pair.hear(pair.sealed(b"x"))

    assert not pair.channel.is_holding
    assert pair.server.read(100) == b"MAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\n"


# What a server says of our certificate.


@pytest.mark.parametrize("version", VERSIONS)
def test_a_certificate_that_is_wanted_and_not_given_is_asked_for_in_words(
    version: ssl.TLSVersion, certificates: Certificates
) -> None:
    server, client = contexts(
        certificates, version, client_ca=certificates.ca, client_required=True
    )
    pair = Pair(server, client)
    pair.hear(pair.shake_hands())

    error = pair.channel.error
    assert error is not None
    assert is_alert(error)
    assert not pair.channel.has_heard
    assert not pair.channel.gave_certificate
    told = words(error, pair.channel, client)
    assert "wants a client certificate" in told
    assert "tls_context" in told
    assert ("perhaps" in told) is (version is ssl.TLSVersion.TLSv1_2)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_certificate_of_ours_that_is_not_accepted_is_named_as_ours(
    version: ssl.TLSVersion, certificates: Certificates
) -> None:
    server, client = contexts(
        certificates, version, client_ca=certificates.ca, client_required=True
    )
    client.load_cert_chain(certificates.unknown_ca.chain, certificates.unknown_ca.key)
    pair = Pair(server, client)
    pair.hear(pair.shake_hands())

    error = pair.channel.error
    assert error is not None
    assert pair.channel.gave_certificate
    assert "does not accept our certificate" in words(error, pair.channel, client)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_certificate_is_only_sent_on_request(
    version: ssl.TLSVersion, certificates: Certificates
) -> None:
    server, client = contexts(certificates, version)
    client.load_cert_chain(certificates.client.chain, certificates.client.key)
    pair = Pair(server, client)
    pair.hear(pair.shake_hands())

    assert pair.channel.is_up
    assert not pair.channel.gave_certificate


def test_a_server_that_knows_only_old_tls_is_known_for_that(certificates: Certificates) -> None:
    server, client = contexts(certificates, ssl.TLSVersion.TLSv1_2)
    client.minimum_version = ssl.TLSVersion.TLSv1_3
    pair = Pair(server, client)
    pair.hear(pair.shake_hands())

    error = pair.channel.error
    assert error is not None
    assert "the server knows only TLS before 1.3" in words(error, pair.channel, client)


@pytest.mark.parametrize("store", [True, False])
def test_a_machine_without_authorities_is_known_for_that(
    store: bool, certificates: Certificates, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if store:
        (tmp_path / "an-authority.0").touch()
    paths = ssl.get_default_verify_paths()._replace(capath=str(tmp_path))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    server, _ = contexts(certificates, ssl.TLSVersion.TLSv1_3)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    pair = Pair(server, client)
    pair.hear(pair.shake_hands())

    error = pair.channel.error
    assert error is not None
    told = words(error, pair.channel, client)
    assert "certificate verification failed for mx.test:25" in told
    assert ("ca-certificates" in told) is not store


def words(error: ssl.SSLError, channel: TlsChannel, context: ssl.SSLContext) -> str:
    tls = choose_tls(
        "starttls", context, host="mx.test", port=25, has_credentials=False, may_do_without=False
    )
    assert tls is not None
    return failure_of(error, channel, tls, "mx.test:25")
