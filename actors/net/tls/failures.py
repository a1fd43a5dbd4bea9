"""The texts of TLS failures: what failed, with which server, and what to do about it."""

import ssl
from pathlib import Path

from .channel import TlsChannel
from .tls import Tls

# Alerts about a client's certificate (RFC 8446 §6.2), as OpenSSL names them.
_ABOUT_OURS = (
    "UNKNOWN_CA",
    "BAD_CERTIFICATE",
    "UNSUPPORTED_CERTIFICATE",
    "CERTIFICATE_REVOKED",
    "CERTIFICATE_EXPIRED",
    "CERTIFICATE_UNKNOWN",
)
CERTIFICATE_FAILED = "certificate verification failed for"
_NO_ISSUER = frozenset({2, 19, 20, 21})
"""OpenSSL's X509_V_ERR_… numbers for a certificate without a known issuer."""
_NAMES = {ssl.TLSVersion.TLSv1_2: "TLS before 1.2", ssl.TLSVersion.TLSv1_3: "TLS before 1.3"}


def is_alert(error: ssl.SSLError) -> bool:
    """Whether the error is an alert from the server (RFC 8446 §6.2)."""
    reason = error.reason or ""
    return "_ALERT_" in reason or reason.startswith("TLSV1_UNRECOGNIZED_NAME")


def failure_of(error: ssl.SSLError, channel: TlsChannel, tls: Tls, server: str) -> str:
    """Return the detail of a TLS failure, in one line.

    Args:
        error: the error of the channel.
        channel: the channel.
        tls: how TLS was configured.
        server: the server's name for messages.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        text = f"{CERTIFICATE_FAILED} {server}: {error.verify_message or error.reason}"
        if error.verify_code in _NO_ISSUER and not _trusts_any_authority(tls):
            text += f"; {_WHOM_TO_TRUST}"
        return text
    reason = error.reason or str(error)
    cure = _cure(reason, channel, tls)
    return f"TLS handshake with {server} failed: {reason}{f'; {cure}' if cure else ''}"


_WHOM_TO_TRUST = (
    "this machine has no certificate authorities to trust: install its package ca-certificates,"
    " set SSL_CERT_FILE, or give a tls_context"
)


def _cure(reason: str, channel: TlsChannel, tls: Tls) -> str:
    if channel.met_clear_text:
        if tls.is_implicit:
            return "the server speaks no TLS at once; use tls='starttls'"
        return "what it sent is not TLS"
    if reason.endswith("CERTIFICATE_REQUIRED"):
        return "the server wants a client certificate; give one in tls_context"
    if any(reason.endswith(name) for name in _ABOUT_OURS):
        if channel.gave_certificate:
            return "the server does not accept our certificate, which is in tls_context"
        return "perhaps the server wants a client certificate; give one in tls_context"
    if reason.endswith("ALERT_HANDSHAKE_FAILURE"):
        if channel.gave_certificate:
            return "perhaps the server does not accept our certificate, which is in tls_context"
        return (
            "perhaps the server wants a client certificate (give one in tls_context),"
            " or knows no cipher of ours"
        )
    if reason in ("TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL"):
        old = _NAMES.get(tls.context.minimum_version)
        return f"the server knows only {old}" if old else "the server knows no TLS that we know"
    return ""


def _trusts_any_authority(tls: Tls) -> bool:
    """Whether any certificate authority is trusted."""
    if tls.context.cert_store_stats()["x509_ca"]:
        return True
    # OpenSSL reads the directory of authorities only when it looks for one of them.
    paths = ssl.get_default_verify_paths()
    try:
        return bool(paths.capath) and any(Path(paths.capath).iterdir())
    except OSError:
        return False
