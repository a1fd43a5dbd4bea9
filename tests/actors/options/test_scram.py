"""SCRAM: the proof of who knows the password, from both sides."""

import datetime as dt
import importlib
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha224, sha256, sha384, sha512
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from hypothesis import example, given
from hypothesis import strategies as st
from servers.one_mail import all_that_is_told

from pykka_smtp.actors.net.tls.channel_binding import BINDING_TYPE, server_end_point
from pykka_smtp.actors.options.scram import MAX_ITERATIONS, NAMES, scram
from pykka_smtp.smtp.sasl.mechanisms import MAX_CHALLENGE, Mechanism, SaslError
from pykka_smtp.smtp.sasl.saslprep import check_prepared
from pykka_smtp.smtp.sasl.secret import Secret

scramp: Any = pytest.importorskip("scramp", reason="it is an extra")

HELD = "Zx9-correct-horse"  # in no name and no text but this one
NONCE = "rOprNGfwEbeRWgbNEkqO"
SERVER_NONCE = NONCE + "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
SALT = "W22ZaJ0SNY7soEsUEjb6gQ=="
SERVER_FIRST = f"r={SERVER_NONCE},s={SALT},i=4096".encode()
BINDING = sha256(b"a certificate").digest()
each_name = pytest.mark.parametrize("name", NAMES)


def pencil(name: str = "SCRAM-SHA-256", nonce: str = NONCE) -> Mechanism:
    return scram(name, "user", Secret("pencil"), None, nonce=nonce)


def held() -> Mechanism:
    return scram("SCRAM-SHA-256", "me", Secret(HELD), None, nonce=NONCE)


class Server:
    """The library's server, which knows one password."""

    def __init__(self, name: str, password: str, binding: bytes | None = None) -> None:
        mechanism = scramp.ScramMechanism(name)
        info = mechanism.make_auth_info(password)
        cb = None if binding is None else (BINDING_TYPE, binding)
        self.server = mechanism.make_server(lambda user: info, channel_binding=cb)

    def first(self, message: bytes) -> bytes:
        self.server.set_client_first(message.decode())
        return str(self.server.get_server_first()).encode()

    def final(self, message: bytes) -> bytes:
        self.server.set_client_final(message.decode())
        return str(self.server.get_server_final()).encode()


def converse(client: Mechanism, server: Server) -> None:
    first = client.start()
    assert first is not None
    assert client.respond(server.final(client.respond(server.first(first)))) == b""
    client.finish()


def test_scram_sha_1_speaks_as_in_the_rfc() -> None:  # RFC 5802 §5
    client = pencil("SCRAM-SHA-1", "fyko+d2lbbFgONRv9qkxdawL")

    assert client.start() == b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL"
    assert client.respond(
        b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096"
    ) == (b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=")
    assert client.respond(b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=") == b""
    client.finish()


def test_scram_sha_256_speaks_as_in_the_rfc() -> None:  # RFC 7677 §3
    client = pencil()

    assert client.start() == f"n,,n=user,r={NONCE}".encode()
    assert client.respond(SERVER_FIRST) == (
        f"c=biws,r={SERVER_NONCE},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=".encode()
    )
    assert client.respond(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=") == b""
    client.finish()


@each_name
def test_client_and_server_prove_to_each_other_that_they_know_the_password(name: str) -> None:
    binding = BINDING if name.endswith("-PLUS") else None
    client = scram(name.lower(), "us=er,é", Secret("pässword"), binding)

    assert client.name == name
    assert not client.shows_secret
    converse(client, Server(name, "pässword", binding))


def test_the_proof_is_bound_to_the_channel() -> None:
    client = scram("SCRAM-SHA-256-PLUS", "me", Secret(HELD), BINDING)
    server = Server("SCRAM-SHA-256-PLUS", HELD, sha256(b"another certificate").digest())

    assert (client.start() or b"").startswith(b"p=tls-server-end-point,,n=me,r=")
    with pytest.raises(scramp.ScramException, match="channel bindings don't match"):
        converse(client, server)


def test_who_could_have_bound_the_channel_says_so() -> None:  # RFC 5802 §6
    could = scram("SCRAM-SHA-256", "me", Secret(HELD), BINDING)

    assert (could.start() or b"").startswith(b"y,,n=me")
    converse(could, Server("SCRAM-SHA-256", HELD))
    offered = Server("SCRAM-SHA-256", HELD, BINDING)  # and somebody took it away
    with pytest.raises(scramp.ScramException, match="in fact it does"):
        converse(scram("SCRAM-SHA-256", "me", Secret(HELD), BINDING), offered)


def test_each_exchange_has_a_nonce_of_its_own() -> None:
    starts = {scram("SCRAM-SHA-256", "me", Secret(HELD), None).start() for _ in range(20)}

    assert len(starts) == 20
    assert all(len(start or b"") > len(b"n,,n=me,r=") + 18 for start in starts)


@pytest.mark.parametrize(
    "final",
    [
        b"v=" + b64encode(b"x" * 32),
        b"v=" + b64encode(b"x"),
        b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95H4=",
        b"v=?",
        b"v=",
        b"",
        b"\xff",
        b"235 ok",
        SERVER_FIRST,
        "v=é".encode(),
    ],
)
def test_a_server_that_can_not_sign_is_not_the_one_that_knows_the_password(final: bytes) -> None:
    client = pencil()
    client.respond(SERVER_FIRST)

    with pytest.raises(SaslError, match=r"did not prove|not UTF-8") as caught:
        client.respond(final)
    assert caught.value.is_security
    with pytest.raises(SaslError, match="without proving"):
        client.finish()


def test_a_server_that_accepts_without_a_signature_is_not_believed() -> None:
    before, between = pencil(), pencil()
    between.respond(SERVER_FIRST)

    for client in (before, between):
        with pytest.raises(SaslError, match="accepted without proving") as caught:
            client.finish()
        assert caught.value.is_security


@pytest.mark.parametrize("challenges", [(b"e=unknown-user",), (SERVER_FIRST, b"e=invalid-proof")])
@pytest.mark.parametrize("error", [None, b"e=what-nobody-knows", b"e="])
def test_an_error_of_the_server_is_acknowledged_but_proves_nothing(
    challenges: tuple[bytes, ...], error: bytes | None
) -> None:
    client = pencil()
    *before, last = challenges
    for challenge in before:
        client.respond(challenge)

    assert client.respond(error or last) == b""
    with pytest.raises(SaslError, match="without proving") as caught:
        client.finish()
    assert caught.value.is_security
    with pytest.raises(SaslError, match="unexpected challenge"):
        client.respond(SERVER_FIRST)


def test_a_server_that_has_proven_itself_may_not_ask_on() -> None:
    client = pencil()
    client.respond(SERVER_FIRST)
    client.respond(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")

    with pytest.raises(SaslError, match="SCRAM-SHA-256: unexpected challenge"):
        client.respond(b"")


@pytest.mark.parametrize(
    "first",
    [
        f"r=another{SERVER_NONCE},s={SALT},i=4096".encode(),
        f"r={NONCE},s={SALT},i=4096".encode(),
        f"r={SERVER_NONCE},s={SALT}".encode(),
        f"r={SERVER_NONCE},s={SALT},i=".encode(),
        f"r={SERVER_NONCE},s={SALT},i=4096x".encode(),
        f"r={SERVER_NONCE},s={SALT},i=04096".encode(),
        f"r={SERVER_NONCE},s=?,i=4096".encode(),
        f"r={SERVER_NONCE},s=,i=4096".encode(),
        f"m=x,r={SERVER_NONCE},s={SALT},i=4096".encode(),  # RFC 5802 §5.1: not to be ignored
        f"s={SALT},r={SERVER_NONCE},i=4096".encode(),
        b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        SERVER_FIRST + b",x=\xff",
        b"",
        b"Username:",
        b"\0",
    ],
)
def test_an_invalid_first_message_is_rejected(first: bytes) -> None:
    client = pencil()

    with pytest.raises(
        SaslError,
        match=r"^SCRAM-SHA-256: (invalid first message|the server's message is not UTF-8)",
    ) as caught:
        client.respond(first)
    assert not caught.value.is_security
    with pytest.raises(SaslError):
        client.finish()


@pytest.mark.parametrize(
    ("count", "why", "is_security"),
    [
        ("1", "fewer than 4096", True),
        ("4095", "fewer than 4096", True),
        (str(MAX_ITERATIONS + 1), "more than 100000", False),
        ("9" * 5000, "more than 100000", False),
    ],
)
def test_the_number_of_iterations_is_bounded(count: str, why: str, is_security: bool) -> None:
    with pytest.raises(SaslError, match=why) as caught:
        pencil().respond(f"r={SERVER_NONCE},s={SALT},i={count}".encode())
    assert caught.value.is_security == is_security


def test_the_most_iterations_are_done() -> None:
    first = f"r={SERVER_NONCE},s={SALT},i={MAX_ITERATIONS}".encode()

    assert pencil().respond(first).startswith(b"c=biws,")


def test_extensions_that_may_be_ignored_are_ignored() -> None:  # RFC 5802 §5.1
    assert pencil().respond(SERVER_FIRST + b",x=y").startswith(b"c=biws,")


def test_the_longest_challenge_is_bounded() -> None:
    with pytest.raises(SaslError, match="challenge over"):
        pencil().respond(b"x" * (MAX_CHALLENGE + 1))


MESSAGES = st.lists(
    st.one_of(
        st.sampled_from(
            [
                f"r={SERVER_NONCE}",
                f"r={NONCE}",
                f"s={SALT}",
                "s=AAAA",
                "i=4096",
                "i=5000",
                "i=1",
                "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
                "e=other-error",
                "m=x",
                "x=y",
                "",
            ]
        ),
        st.text(max_size=8),
    )
).map(lambda parts: ",".join(parts).encode("utf-8", "replace"))


@given(st.lists(st.binary() | MESSAGES | st.just(SERVER_FIRST), max_size=4))
@example([SERVER_FIRST, b"v="])
@example([f"r={SERVER_NONCE},s={SALT},i=4096,x=".encode() + b"\xff"])
def test_any_challenges_give_responses_or_a_sasl_error_without_the_secret(
    challenges: list[bytes],
) -> None:
    client = held()
    errors: list[BaseException] = []
    for challenge in challenges:
        try:
            assert type(client.respond(challenge)) is bytes
        except SaslError as error:
            errors.append(error)
    try:
        client.finish()
    except SaslError as error:
        errors.append(error)

    assert errors, "nobody could have known the password"
    assert HELD not in repr(client)
    assert not any(HELD in all_that_is_told(error, __file__) for error in errors)


def test_what_the_library_raises_is_told_without_its_frames(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    core = importlib.import_module("scramp.core")

    def fail(*args: object) -> bytes:
        raise RuntimeError(f"while at {HELD}: {args}")

    monkeypatch.setattr(core, "hi", fail)

    with pytest.raises(
        SaslError, match=r"invalid first message from the server: RuntimeError$"
    ) as caught:
        held().respond(SERVER_FIRST)
    assert HELD not in all_that_is_told(caught.value, __file__)
    assert caught.value.__context__ is None


def test_an_invalid_nonce_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"^SCRAM-SHA-256: .*once") as caught:
        scram("SCRAM-SHA-256", "me", Secret(HELD), None, nonce="a,b")
    assert HELD not in all_that_is_told(caught.value, __file__)


@pytest.mark.parametrize(
    ("user", "password", "why"),
    [
        ("", "x", "username: empty"),
        ("me", "", "password: empty"),
        ("a\0b", "x", "username: .*control"),
        ("me", "x\r\n", "password: .*file"),
        ("me", "😀", "password: .*Unicode 3"),
        ("\u06271", "x", "username: .*SASLprep"),
        ("me", "\xad", "password: .*SASLprep"),
    ],
)
def test_names_and_passwords_that_saslprep_does_not_take_are_refused(
    user: str, password: str, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        scram("SCRAM-SHA-1", user, Secret(password), None)


@given(
    st.text(st.characters(codec="utf-8") | st.sampled_from("\xad\u0627\u0628\u200e a1"), min_size=1)
)
def test_what_the_library_would_not_take_is_known_beforehand(text: str) -> None:
    utils = importlib.import_module("scramp.utils")
    try:
        check_prepared("password", text, stored=True)
        taken = True
    except ValueError:
        taken = False
    try:
        its_own = bool(utils.saslprep(text))
    except scramp.ScramException:
        its_own = False

    assert taken == its_own


def test_only_what_is_made_here_can_be_had() -> None:
    with pytest.raises(ValueError, match=r"not one of .*'PLAIN'"):
        scram("PLAIN", "me", Secret(HELD), None)
    with pytest.raises(ValueError, match="SCRAM-SHA-1-PLUS: needs TLS"):
        scram("SCRAM-SHA-1-PLUS", "me", Secret(HELD), None)


def test_without_the_library_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> object:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)

    with pytest.raises(ImportError, match=r"pip install 'pykka-smtp\[scram\]'"):
        pencil()


def certificate(
    algorithm: hashes.SHA224 | hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None,
    *,
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | None = None,
    pss: bool = False,
) -> bytes:
    """Return a certificate in DER that is signed with this hash."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mx.test")])
    key = key or ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
    )
    salted = padding.PSS(padding.MGF1(hashes.SHA384()), 32) if pss else None
    signed = builder.sign(key, algorithm, rsa_padding=salted)
    return signed.public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        (hashes.SHA224(), sha224),
        (hashes.SHA256(), sha256),
        (hashes.SHA384(), sha384),
        (hashes.SHA512(), sha512),
    ],
)
def test_the_channel_is_bound_to_the_hash_of_the_certificate(
    algorithm: hashes.SHA256, expected: Callable[[bytes], Any]
) -> None:  # RFC 5929 §4.1
    der = certificate(algorithm)

    assert server_end_point(der) == expected(der).digest()


@pytest.mark.parametrize("weak", [b"\x04", b"\x05"], ids=["MD5", "SHA-1"])
def test_a_weak_hash_is_replaced(weak: bytes) -> None:  # RFC 5929 §4.1
    key = rsa.generate_private_key(65537, 2048)
    oid = bytes.fromhex("06092a864886f70d0101")
    der = certificate(hashes.SHA256(), key=key).replace(oid + b"\x0b", oid + weak)

    assert server_end_point(der) == sha256(der).digest()


def test_the_hash_of_a_salted_signature_stands_in_its_parameters() -> None:
    der = certificate(hashes.SHA384(), key=rsa.generate_private_key(65537, 2048), pss=True)

    assert server_end_point(der) == sha384(der).digest()


def test_a_certificate_whose_signature_has_no_hash_binds_nothing() -> None:
    assert server_end_point(certificate(None, key=ed25519.Ed25519PrivateKey.generate())) is None


@pytest.mark.parametrize("der", [b"", b"\x30\x00", b"no certificate", b"\x30\x03\x02\x01\x01"])
def test_what_is_no_certificate_binds_nothing(der: bytes) -> None:
    assert server_end_point(der) is None


@given(st.data())
def test_a_broken_certificate_never_raises(data: st.DataObject) -> None:
    der = bytearray(DER)
    for _ in range(data.draw(st.integers(1, 4))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))

    binding = server_end_point(bytes(der[: data.draw(st.integers(0, len(der)))]))
    assert binding is None or len(binding) in (28, 32, 48, 64)


DER = certificate(hashes.SHA256())
