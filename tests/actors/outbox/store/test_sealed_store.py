"""With `seal` and `open` nothing can be read in the file, and all works as without."""

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet, MultiFernet
from servers.outboxes import Outboxes, mail
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import (
    Cancel,
    Drain,
    Find,
    Outbox,
    OutboxError,
    Put,
    Retry,
    RetryPolicy,
    SendFailure,
    SendSuccess,
)
from pykka_smtp.actors.outbox.store.sqlite.salvage import readable
from pykka_smtp.testing import Server, defer, refuse

HIDDEN = ("me@example.com", "you@example.org", "example.org", "A subject", "A body", "a-context")


def sealed(key: bytes | None = None) -> dict[str, Any]:
    fernet = Fernet(key or Fernet.generate_key())
    return {"seal": fernet.encrypt, "open": fernet.decrypt}


def secret(number: int = 1, **given: Any) -> Any:
    return mail(number, subject="A subject", body="A body", context={"a": "a-context"}, **given)


def nothing_can_be_read(outboxes: Outboxes) -> None:
    octets = b"".join(
        [path.read_bytes() for path in outboxes.path.parent.iterdir() if path.is_file()]
    )
    assert len(octets) > 4096
    for text in HIDDEN:
        assert text.encode() not in octets, text


def test_nothing_can_be_read_in_file_and_log_before_and_after_it_was_sent(
    outboxes: Outboxes, server: Any
) -> None:
    functions = sealed()
    ref = outboxes.start(**functions)
    ref.ask(Put(secret()))
    nothing_can_be_read(outboxes)
    assert ref.ask(Find())[0].recipients == ("you@example.org",)
    outboxes.stop(ref)
    nothing_can_be_read(outboxes)

    ref = outboxes.start(server, **functions)

    [outcome] = outboxes.wait_for(1)
    assert isinstance(outcome, SendSuccess)
    assert outcome.context == {"a": "a-context"}
    assert b"A body" in server.mails[0].data
    assert ref.ask(Drain(timeout=PATIENCE))
    nothing_can_be_read(outboxes)
    outboxes.stop(ref)
    nothing_can_be_read(outboxes)


def test_attempts_and_failures_are_sealed_and_go_on_after_a_restart(outboxes: Outboxes) -> None:
    functions = sealed()
    later = RetryPolicy(initial_delay=0.5, max_delay=0.5)
    with Server(defer("RCPT", to="later@example.org")) as server:
        ref = outboxes.start(server, retry=later, **functions)
        ref.ask(Put(secret(recipients=["you@example.org", "later@example.org"])))
        assert wait_until(lambda: [1 for o in ref.ask(Find(state="ready")) if o.attempts], PATIENCE)
        nothing_can_be_read(outboxes)
        outboxes.stop(ref)
    with Server(refuse("RCPT")) as server:
        ref = outboxes.start(server, **functions)
        [outcome] = outboxes.wait_for(1)
        assert isinstance(outcome, SendSuccess)
        assert (outcome.attempts, len(outcome.refused)) == (2, 1)
        ref.ask(Put(secret(2)))
        failure = outboxes.wait_for(2)[1]
        assert isinstance(failure, SendFailure)
        assert ref.ask(Drain(timeout=PATIENCE))
        nothing_can_be_read(outboxes)
        assert "refused" in ref.ask(Find(name="mail-2"))[0].detail
        outboxes.stop(ref)
    with Server() as server:
        ref = outboxes.start(server, **functions)
        assert ref.ask(Retry("mail-2"))
        assert isinstance(outboxes.wait_for(3)[2], SendSuccess)


def test_another_key_is_refused_in_one_line_and_the_file_is_left_as_it_is(
    outboxes: Outboxes, tmp_path: Path
) -> None:
    ref = outboxes.start(**sealed())
    ref.ask(Put(secret()))
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("mail.db", "mail.db-wal"):
        shutil.copy(outboxes.path.with_name(name), copy / name)
    path = copy / "mail.db"
    before = [(copy / name).read_bytes() for name in ("mail.db", "mail.db-wal")]

    with pytest.raises(OutboxError, match="was sealed with another key") as caught:
        Outbox.start(path, send=False, **sealed())
    with pytest.raises(OutboxError, match="are sealed, and it is left as it is") as without:
        Outbox.start(path, send=False)

    for error in (caught.value, without.value):
        assert "\n" not in str(error)
        assert not error.retryable
    assert [(copy / name).read_bytes() for name in ("mail.db", "mail.db-wal")] == before


def test_a_new_key_opens_what_the_old_one_has_sealed(outboxes: Outboxes, server: Any) -> None:
    old = Fernet(Fernet.generate_key())
    ref = outboxes.start(seal=old.encrypt, open=old.decrypt)
    ref.ask(Put(secret()))
    outboxes.stop(ref)
    both = MultiFernet([Fernet(Fernet.generate_key()), old])

    ref = outboxes.start(server, seal=both.encrypt, open=both.decrypt)
    ref.ask(Put(secret(2)))

    assert {type(one) for one in outboxes.wait_for(2)} == {SendSuccess}


def test_what_was_put_before_there_was_a_key_is_sent_nevertheless(
    outboxes: Outboxes, server: Any
) -> None:
    ref = outboxes.start()
    ref.ask(Put(secret()))
    outboxes.stop(ref)

    ref = outboxes.start(server, **sealed())

    assert isinstance(outboxes.wait_for(1)[0], SendSuccess)


def test_a_mail_that_cannot_be_opened_is_held_and_the_others_go(
    outboxes: Outboxes, server: Any
) -> None:
    functions = sealed()
    ref = outboxes.start(**functions)
    ref.tell_all(secret(number) for number in range(3))
    outboxes.stop(ref)
    database = sqlite3.connect(outboxes.path)
    with database:
        database.execute("UPDATE pykka_smtp_body SET data = x'00' WHERE seq = 2")
    database.close()

    ref = outboxes.start(server, **functions)

    assert {one.mail.id for one in outboxes.wait_for(2)} == {"mail-0", "mail-2"}
    assert wait_until(lambda: ref.ask(Find(state="held")), PATIENCE)


def test_keys_duplicates_and_addresses_work_as_without(outboxes: Outboxes) -> None:
    ref = outboxes.start(**sealed())
    ref.ask(Put(secret(), key="k"))

    assert ref.ask(Put(secret(id="other"), key="k")).is_duplicate
    assert [one.id for one in ref.ask(Find(recipient="YOU@exam"))] == ["mail-1"]
    assert ref.ask(Find(recipient="nobody")) == []
    assert ref.ask(Cancel("k"))
    assert isinstance(outboxes.wait_for(1)[0], SendFailure)


def test_a_function_that_fails_refuses_the_mail_and_nothing_else(outboxes: Outboxes) -> None:
    fernet = Fernet(Fernet.generate_key())

    def seal(data: bytes) -> bytes:
        if b"A body" in data:
            raise RuntimeError("secret-word")
        return fernet.encrypt(data)

    ref = outboxes.start(seal=seal, open=fernet.decrypt)
    with pytest.raises(OutboxError) as caught:
        ref.ask(Put(secret()))
    ref.ask(Put(mail(2)))

    assert "secret-word" not in str(caught.value)
    assert [one.id for one in ref.ask(Find())] == ["mail-2"]


def test_a_function_that_fails_at_the_start_is_one_line_and_tells_no_secret(
    tmp_path: Path,
) -> None:
    def seal(data: bytes) -> bytes:
        raise RuntimeError("secret-word")

    with pytest.raises(OutboxError, match=r"mail.db: seal has raised RuntimeError$"):
        Outbox.start(tmp_path / "mail.db", seal=seal, open=seal)


def test_a_damaged_file_gives_what_is_sealed_as_it_is(outboxes: Outboxes) -> None:
    ref = outboxes.start(**sealed())
    ref.ask(Put(secret()))

    [found] = readable(outboxes.path)

    assert '"sealed"' in found.env
    assert found.problem == ""


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"seal": bytes}, ValueError, "seal: needs open, too"),
        ({"open": bytes}, ValueError, "open: needs seal, too"),
        ({"seal": b"key", "open": bytes}, TypeError, "seal: needs a function, not bytes"),
    ],
)
def test_half_a_pair_is_an_error(
    tmp_path: Path, given: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        Outbox.start(tmp_path / "mail.db", **given)
    assert list(tmp_path.iterdir()) == []


def test_what_a_sealed_mail_says_cannot_be_tried_out_and_another_with_its_key_is_still_seen(
    outboxes: Outboxes,
) -> None:
    first = Put(mail(1, body="Your code is 123456."), key="code")
    ref = outboxes.start(**sealed())
    ref.ask(first)

    # Who has the file knows how emails look, and tries all codes.
    files = [one for one in outboxes.path.parent.iterdir() if one.is_file()]  # and one socket
    octets = b"".join(one.read_bytes() for one in files)
    assert first.text.digest not in octets
    assert ref.ask(Put(mail(1, body="Your code is 123456.", id="x"), key="code")).is_duplicate
    with pytest.raises(ValueError, match="is that of another email"):
        ref.ask(Put(mail(1, body="Your code is 654321."), key="code"))
