"""What the operator's page is told, and what it may do: over HTTP, without a browser."""

import contextlib
import datetime as dt
import re
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers.outboxes import Outboxes, mail
from servers.served_page import ServedPage, serving
from servers.waiting import PATIENCE

from pykka_smtp import Find, Hold, OutboxRef, Put, SendFailure, SendMail, SendSuccess
from pykka_smtp.testing import Server, drop, refuse

TOKEN = "a-token-of-some-length"
STATIC = Path(__file__).parents[3] / "pykka_smtp" / "cli" / "outbox_page" / "static"


@pytest.fixture
def waiting(outboxes: Outboxes) -> OutboxRef:
    """An outbox with three emails that wait, as it does not send."""
    ref = outboxes.start()
    for number in (1, 2, 3):
        ref.ask(Put(mail(number), key=f"order-{number}"))
    return ref


@pytest.fixture
def page(outboxes: Outboxes, waiting: OutboxRef) -> Iterator[ServedPage]:
    with serving(outboxes.path) as served:
        yield served


# What is shown


def test_what_waits_is_counted_and_listed_with_what_can_be_done(page: ServedPage) -> None:
    state = page.state()

    assert state["counts"] == {
        "waiting": 3, "working": 0, "failed": 0, "doubts": 0, "held": 0, "done": 0,
    }  # fmt: skip
    assert [email["key"] for email in state["emails"]] == ["order-1", "order-2", "order-3"]
    email = state["emails"][0]
    assert (email["subject"], email["recipients"]) == ("Number 1", ["you@example.org"])
    assert email["actions"] == ["cancel", "hold", "retry"]
    assert state["lives"] == {"alive": 1, "dead": 0}
    assert not state["more"]


def test_what_has_failed_is_listed_with_the_reply_and_what_was_sent_is_in_the_picture(
    outboxes: Outboxes,
) -> None:
    with Server(refuse("RCPT", "550 5.1.1 <b>nobody</b>", to="nobody@example.org")) as server:
        ref = outboxes.start(server)
        ref.ask(mail(1))
        ref.ask(mail(2, recipients="nobody@example.org"))
        outboxes.stop(ref)
    with serving(outboxes.path) as page:
        failed = page.state("view=failed")
        done = page.state("view=done")

    assert [email["id"] for email in failed["emails"]] == ["mail-2"]
    [email] = failed["emails"]
    assert "550 5.1.1 <b>nobody</b>" in email["why"]
    assert email["refused"] == ["nobody@example.org: 550 5.1.1 <b>nobody</b>"]
    assert (email["kind"], email["is_sent"], email["actions"]) == ("SMTP", False, ["retry"])
    assert [email["actions"] for email in done["emails"]] == [[]]
    minutes = done["minutes"]
    assert (len(minutes["sent"]), sum(minutes["sent"]), sum(minutes["failed"])) == (60, 1, 1)
    assert done["lives"] == {"alive": 0, "dead": 0}


def test_the_subject_of_a_complete_message_is_read_and_decoded(outboxes: Outboxes) -> None:
    message = b"Subject: =?utf-8?q?G=C3=BCnther?=\r\n says\r\nFrom: a@b.test\r\n\r\nHello."
    ref = outboxes.start()
    ref.ask(Put(SendMail(sender="a@b.test", recipients="c@d.test", message=message)))
    with serving(outboxes.path) as page:
        assert [email["subject"] for email in page.state()["emails"]] == ["Günther says"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("order-2", {"order-2"}),
        ("MAIL-3", {"order-3"}),
        ("mail-3", {"order-3"}),
        ("ou@exam", {"order-1", "order-2", "order-3"}),
        ("number 1", {"order-1"}),
        ("50%25", set()),
        ("subject", set()),  # the name of a field is none of its values
        ("%22", set()),
    ],
)
def test_a_search_looks_at_addresses_keys_ids_and_subjects(
    page: ServedPage, text: str, expected: set[str]
) -> None:
    state = page.state(f"search={text.replace(' ', '+')}")

    assert {email["key"] for email in state["emails"]} == expected
    assert state["next"] is None


def test_a_search_goes_on_where_it_has_ended_and_shows_nothing_twice(
    outboxes: Outboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pykka_smtp.actors.outbox.store.outside.page_looks._WINDOW", 7)
    ref = outboxes.start()
    for future in [ref.ask(Put(mail(number)), block=False) for number in range(1, 31)]:
        future.get(timeout=PATIENCE)
    seen: list[str] = []
    words = "search=you@example.org&most=4"
    with serving(outboxes.path) as page:
        state = page.state(words)
        while True:
            assert len(state["emails"]) <= 4
            seen += [email["id"] for email in state["emails"]]
            if state["next"] is None:
                break
            state = page.state(f"{words}&before={state['next']}")

    assert seen == [f"mail-{number}" for number in range(30, 0, -1)]


def test_what_waits_is_shown_in_the_order_in_which_it_goes_out(outboxes: Outboxes) -> None:
    ref = outboxes.start()
    now = dt.datetime.now(dt.UTC)
    for number, priority, minutes in ((1, 0, 20), (2, 0, 10), (3, 9, 30), (4, -9, 5), (5, 9, 31)):
        due = now + dt.timedelta(minutes=minutes)
        ref.ask(Put(mail(number), priority=priority, not_before=due))
    with serving(outboxes.path) as page:
        state = page.state()
        some = page.state("most=3")

    ids = ["mail-3", "mail-5", "mail-2", "mail-1", "mail-4"]
    assert [email["id"] for email in state["emails"]] == ids
    assert ([email["id"] for email in some["emails"]], some["more"]) == (ids[:3], True)
    assert state["oldest_due"] == pytest.approx((now + dt.timedelta(minutes=5)).timestamp(), abs=1)


def test_a_view_shows_so_many_and_says_that_there_are_more(page: ServedPage) -> None:
    state = page.state("most=2")

    assert (len(state["emails"]), state["more"]) == (2, True)


# What can be done


def test_an_email_can_be_held_released_and_cancelled_while_the_outbox_runs(
    page: ServedPage, waiting: OutboxRef
) -> None:
    def state(key: str) -> str:
        [found] = waiting.ask(Find(name=key))
        return found.state

    assert page.act("hold", "order-1")
    assert state("order-1") == "held"
    assert page.act("release", "order-1")
    assert state("order-1") == "ready"
    assert page.act("cancel", "order-1")
    assert state("order-1") in {"told", "heard"}
    assert not page.act("hold", "order-1")
    assert not page.act("cancel", "order-4711")
    assert page.noted == [
        "hold order-1 (shop): done",
        "release order-1 (shop): done",
        "cancel order-1 (shop): done",
        "hold order-1 (shop): too late",
        "cancel order-4711 (shop): too late",
    ]


def test_what_was_cancelled_on_the_page_is_told_to_the_program(
    page: ServedPage, outboxes: Outboxes
) -> None:
    page.act("cancel", "order-2")

    [outcome] = outboxes.wait_for(1)
    assert isinstance(outcome, SendFailure)
    assert (outcome.mail.id, outcome.kind.name) == ("mail-2", "CANCELLED")


def test_a_failed_email_is_sent_again_on_request(outboxes: Outboxes) -> None:
    with Server(refuse("RCPT", "550 no")) as server:
        ref = outboxes.start(server)
        ref.ask(mail(1))
        outboxes.stop(ref)
    with Server() as server, serving(outboxes.path) as page:
        outboxes.start(server)
        assert page.act("retry", "mail-1")
        outcome = outboxes.wait_for(2)[1]

    assert isinstance(outcome, SendSuccess)


# Who may


def test_a_request_under_a_foreign_name_gets_nothing(page: ServedPage) -> None:
    for path in ("/", "/api/state", "/page.js"):
        answer = page.ask(path, Host="attacker.example")
        assert answer.status == 421
        assert b"order" not in answer.body
    assert page.ask("/api/state", Host="outbox.test:443").status == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_cannot_ask_in_the_name_of_a_person(page: ServedPage, site: str) -> None:
    assert page.ask("/api/state", Sec_Fetch_Site=site).status == 403


def test_nothing_is_done_without_the_token_of_the_page(page: ServedPage) -> None:
    given = {"action": "cancel", "key": "order-1", "alias": "shop"}

    assert page.ask("/api/act", given).status == 403
    assert page.ask("/api/act", given, X_Csrf="wrong").status == 403
    csrf = page.state()["csrf"]
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        assert page.ask("/api/act", given, X_Csrf=csrf, Content_Type=kind).status == 400
    assert page.state()["counts"]["waiting"] == 3
    assert page.noted == []


@pytest.mark.parametrize(
    "given",
    [
        b"", b"[]", b"{", b'"x"', b"\xff", b"{}", b'{"action":1,"key":"order-1","alias":"shop"}',
        b'{"action":"mark","key":"order-1","alias":"shop"}', b'{"action":"hold","alias":"shop"}',
        b'{"action":"hold","key":"order-1"}', b"[" * 4000,
    ],
)  # fmt: skip
def test_what_is_no_request_of_the_page_does_nothing(page: ServedPage, given: bytes) -> None:
    answer = page.ask("/api/act", given, X_Csrf=page.state()["csrf"])

    assert answer.status == 400
    assert answer.json == {"error": "That is no request of this page."}


def test_a_request_that_is_too_long_is_not_read(page: ServedPage) -> None:
    csrf = page.state()["csrf"]

    answer = page.ask("/api/act", b"{}", X_Csrf=csrf, Content_Length="4097")
    assert answer.status == 413


@pytest.mark.parametrize("path", ["/../pyproject.toml", "/page", "/static/page.js", "//x", "/%2e"])
def test_there_is_nothing_but_the_page(page: ServedPage, path: str) -> None:
    assert page.ask(path).status == 404


@pytest.mark.parametrize(
    "words", ["view=all", "most=x", "most=-1", "search=a&before=x", "view=waiting" + "&a=b" * 10]
)
def test_questions_that_make_no_sense_are_refused(page: ServedPage, words: str) -> None:
    assert page.ask(f"/api/state?{words}").status == 400


def test_with_a_token_nothing_is_shown_or_done_before_it_was_given(
    outboxes: Outboxes, waiting: OutboxRef
) -> None:
    with serving(outboxes.path, TOKEN) as page:
        assert page.ask("/").status == 200  # it has no data
        assert page.ask("/api/state").json == {"error": "The token, please."}
        given = {"action": "cancel", "key": "order-1", "alias": "shop"}
        assert page.ask("/api/act", given, X_Csrf="x").status == 401
        assert page.ask("/api/login", {"token": TOKEN[:-1]}).status == 403
        assert page.ask("/api/login", {}).status == 403
        answer = page.ask("/api/login", {"token": TOKEN})
        cookie = answer.headers["Set-Cookie"]
        state = page.state(Cookie=cookie.partition(";")[0])

    assert answer.status == 200
    assert TOKEN not in cookie
    assert re.fullmatch(r"outbox-\d+=[\w-]{32}; Path=/; HttpOnly; SameSite=Strict", cookie)
    assert state["counts"]["waiting"] == 3


def test_each_answer_forbids_what_a_page_of_others_could_do(page: ServedPage) -> None:
    for path in ("/", "/page.js", "/page.css", "/icon.svg", "/api/state", "/nowhere"):
        headers = page.ask(path).headers
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Server"] == "pykka-smtp"


def test_the_page_has_no_script_or_style_within_and_asks_nobody_else() -> None:
    page = (STATIC / "page.html").read_text(encoding="utf-8")
    script = (STATIC / "page.js").read_text(encoding="utf-8")

    assert re.findall(r"<script[^>]*>", page) == ['<script src="/page.js" defer>']
    assert not re.search(r"<style|style=|\son\w+=|javascript:", page)
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacent",
        "document.write",
        "eval(",
        "Function(",
    ):
        assert word not in script
    for text in (page, script, (STATIC / "page.css").read_text(encoding="utf-8")):
        # The one address is the name of a language, in an attribute, and is not fetched.
        assert set(re.findall(r"https?://[\w./]+", text)) <= {"http://www.w3.org/2000/svg"}


# Limits


def test_no_more_than_sixteen_requests_are_answered_at_a_time_and_the_rest_hear_so(
    page: ServedPage,
) -> None:
    with contextlib.ExitStack() as exits:
        for _ in range(16):  # connected, and silent
            exits.enter_context(socket.create_connection(("127.0.0.1", page.port), PATIENCE))
        late = exits.enter_context(socket.create_connection(("127.0.0.1", page.port), PATIENCE))
        assert late.recv(100).startswith(b"HTTP/1.0 503 ")
    assert page.state()["counts"]["waiting"] == 3


def test_a_request_that_drips_is_ended(page: ServedPage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pykka_smtp.cli.outbox_page.server._REQUEST", 0.2)
    with socket.create_connection(("127.0.0.1", page.port), PATIENCE) as client:
        client.sendall(b"GET / HT")
        assert client.recv(100) == b""


def test_what_is_no_http_is_answered_without_quoting_it(page: ServedPage) -> None:
    with socket.create_connection(("127.0.0.1", page.port), PATIENCE) as client:
        client.sendall(b"<script>alert(1)</script> x y z\r\n\r\n")
        with client.makefile("rb") as file:
            answer = file.read()
    assert b"400" in answer.split(b"\r\n")[0]
    assert b"alert" not in answer


# Trouble with the file


def error(page: ServedPage) -> str:
    answer = page.ask("/api/state")
    assert answer.status == 503
    return str(answer.json["error"])


def test_a_file_that_goes_and_comes_back_is_one_sentence_and_then_no_more(
    outboxes: Outboxes, waiting: OutboxRef, tmp_path: Path
) -> None:
    outboxes.stop(waiting)
    with serving(outboxes.path) as page:
        page.state()
        away = outboxes.path.rename(tmp_path / "away.db")
        assert "mail.db is not there" in error(page)
        answer = page.ask(
            "/api/act", {"action": "hold", "key": "order-1", "alias": "shop"},
            X_Csrf=page.server.desk.access.csrf,
        )  # fmt: skip
        assert (answer.status, "is not there" in answer.json["error"]) == (503, True)
        assert not outboxes.path.exists(), "it was made anew"
        away.rename(outboxes.path)
        assert page.state()["counts"]["waiting"] == 3


def test_another_file_with_the_same_name_is_seen(
    outboxes: Outboxes, waiting: OutboxRef, tmp_path: Path
) -> None:
    waiting.ask(Hold("order-1"))
    outboxes.stop(waiting)
    other = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(outboxes.path)) as here:
        with contextlib.closing(sqlite3.connect(other)) as there:
            here.backup(there)
        with serving(outboxes.path) as page:
            assert page.state()["counts"]["held"] == 1
            with contextlib.closing(sqlite3.connect(other)) as there:
                there.execute("UPDATE pykka_smtp_mail SET state = 'held'")
                there.commit()
            other.replace(outboxes.path)
            page.server.desk.overview._summary_until = 0.0
            assert page.state()["counts"]["held"] == 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty (0 octets)"),
        (b"Dear diary, " * 1000, "no outbox: not an SQLite file, or a damaged one"),
    ],
    ids=["empty", "no database"],
)
def test_a_file_that_is_no_outbox_is_refused_and_left_as_it_is(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "mail.db"
    path.write_bytes(content)
    with serving(path) as page:
        assert words in error(page)
    assert path.read_bytes() == content
    assert sorted(tmp_path.iterdir()) == [path]


def test_the_databases_of_others_and_of_other_versions_are_refused(
    outboxes: Outboxes, waiting: OutboxRef, tmp_path: Path
) -> None:
    outboxes.stop(waiting)
    other = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(other)) as db:
        db.execute("CREATE TABLE diary (day TEXT)")
    with serving(other) as page:
        assert "is no outbox" in error(page)
    for version, words in ((99, "newer pykka-smtp"), (0, "older pykka-smtp")):
        with contextlib.closing(sqlite3.connect(outboxes.path)) as db:
            db.execute("UPDATE pykka_smtp_meta SET value = ? WHERE key = 'version'", (version,))
            db.commit()
        with serving(outboxes.path) as page:
            assert words in error(page)


def test_a_damaged_file_is_one_sentence(outboxes: Outboxes, waiting: OutboxRef) -> None:
    outboxes.stop(waiting)
    with outboxes.path.open("r+b") as file:
        size = file.seek(0, 2)
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    with serving(outboxes.path) as page:
        assert "is damaged" in error(page)


def test_a_locked_file_is_one_sentence(
    outboxes: Outboxes, waiting: OutboxRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    outboxes.stop(waiting)
    monkeypatch.setattr("pykka_smtp.actors.outbox.store.outside.reader._PATIENCE", 0.05)
    with contextlib.closing(sqlite3.connect(outboxes.path, isolation_level=None)) as db:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("BEGIN EXCLUSIVE")
        with serving(outboxes.path) as page:
            assert "locked by another program" in error(page)
        db.execute("ROLLBACK")


def test_looking_writes_nothing_and_begins_no_life(outboxes: Outboxes, waiting: OutboxRef) -> None:
    outboxes.stop(waiting)
    before = {path.name: path.read_bytes() for path in outboxes.path.parent.iterdir()}
    with serving(outboxes.path) as page:
        for words in ("view=done", "view=doubts", "view=failed", "search=you"):
            page.state(words)
    after = {path.name: path.read_bytes() for path in outboxes.path.parent.iterdir()}

    assert after["mail.db"] == before["mail.db"]
    assert {name for name in after if "life" in name} == set()


def test_emails_under_seal_are_listed_by_key_and_can_be_held(outboxes: Outboxes) -> None:
    def turned(data: bytes) -> bytes:
        return bytes(octet ^ 0x55 for octet in data)

    with Server(drop(".")) as server:
        ref = outboxes.start(server, seal=turned, open=turned)
        ref.ask(Put(mail(1), key="order-1", at_least_once=False))
        outboxes.wait_for(1)
        outboxes.stop(ref)
    ref = outboxes.start(seal=turned, open=turned)
    ref.ask(Put(mail(2), key="order-2"))
    with serving(outboxes.path) as page:
        email = page.state()["emails"][0]
        [found] = page.state("search=order-2")["emails"]
        [doubt] = page.state("view=doubts")["emails"]
        assert page.act("hold", "order-2")

    assert (email["is_readable"], email["recipients"], email["subject"]) == (False, [], "")
    assert (found["key"], doubt["key"], doubt["maybe"]) == ("order-2", "order-1", True)
