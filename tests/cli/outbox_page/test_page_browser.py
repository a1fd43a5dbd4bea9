"""The operator's page in a real browser: what a person sees, and what happens at a click."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers.browser import Browser
from servers.outboxes import Outboxes, mail
from servers.served_page import ServedPage, serving
from servers.waiting import PATIENCE, wait_until

from pykka_smtp import Find, OutboxRef, Put, SendMail
from pykka_smtp.testing import Server, defer, drop, refuse

pytestmark = pytest.mark.long

TOKEN = "a-token-of-some-length"
MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script>&lt;b&gt;"
VIEWS = ("waiting", "working", "failed", "doubts", "held", "done")
OVERLAPS = """(() => {
  const seen = [...document.querySelectorAll('button, a, input, h1, h2, h3, p, dd, dt, summary, svg, .badge')]
    .filter((n) => n.checkVisibility() && n.getClientRects().length && !n.closest('.skip'));
  const found = [];
  seen.forEach((a, i) => seen.slice(i + 1).forEach((b) => {
    if (a.contains(b) || b.contains(a)) return;
    const p = a.getBoundingClientRect(), q = b.getBoundingClientRect();
    const wide = Math.min(p.right, q.right) - Math.max(p.left, q.left);
    const high = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
    if (wide > 1 && high > 1) found.push(`${a.outerHTML.slice(0, 80)} on ${b.outerHTML.slice(0, 80)}`);
  }));
  return found;
})()"""  # noqa: E501
CUT = """[...document.querySelectorAll('body *')].filter((n) => n.checkVisibility()
  && !n.closest('.skip, #find label')
  && (n.getBoundingClientRect().right > innerWidth + 0.5 || n.getBoundingClientRect().left < -0.5))
  .map((n) => n.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def browsers() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.fixture
def browser(browsers: Browser) -> Iterator[Browser]:
    browsers.complaints.clear()
    browsers.dialogs.clear()
    browsers.resize(1200)
    yield browsers
    browsers.open("about:blank")
    assert browsers.complaints == []
    assert browsers.dialogs == []


@pytest.fixture
def waiting(outboxes: Outboxes) -> OutboxRef:
    """An outbox with three emails that wait, as it does not send."""
    ref = outboxes.start()
    for number in (1, 2, 3):
        ref.ask(Put(mail(number), key=f"order-{number}"))
    return ref


@pytest.fixture
def page(outboxes: Outboxes, waiting: OutboxRef, browser: Browser) -> Iterator[ServedPage]:
    with serving(outboxes.path) as served:
        open_page(browser, served)
        yield served
        browser.open("about:blank")


def open_page(browser: Browser, page: ServedPage, view: str = "") -> None:
    browser.open(f"{page.url}#{view}")
    browser.wait_for("document.querySelector('#views').children.length")


def show(browser: Browser, view: str) -> None:
    browser.click(f"[data-view={view}]")
    browser.wait_for(f"document.querySelector('[aria-current]')?.dataset.view === '{view}'")
    browser.wait_for("!list.children.length === !empty.hidden")


def subjects(browser: Browser) -> list[str]:
    return list(browser.run("[...document.querySelectorAll('#list h3')].map((n) => n.textContent)"))


def wait_for_subjects(browser: Browser, *expected: str) -> None:
    assert wait_until(lambda: subjects(browser) == list(expected), PATIENCE, 0.03), subjects(
        browser
    )


def state_of(ref: OutboxRef, key: str) -> str:
    [found] = ref.ask(Find(name=key))
    return found.state


def test_a_person_sees_what_waits_and_its_count(browser: Browser, page: ServedPage) -> None:
    wait_for_subjects(browser, "Number 1", "Number 2", "Number 3")
    assert browser.text("[data-view=waiting]").split() == ["3", "Waiting"]
    assert browser.text("[data-view=failed]").split() == ["0", "Failed"]
    assert browser.run("document.title") == "mail.db: 3 waiting, 0 failed"
    assert "to you@example.org" in browser.text("#list > li")


def test_what_is_put_and_sent_appears_by_itself(
    browser: Browser, page: ServedPage, waiting: OutboxRef, outboxes: Outboxes
) -> None:
    wait_for_subjects(browser, "Number 1", "Number 2", "Number 3")
    waiting.ask(Put(mail(4)))
    wait_for_subjects(browser, "Number 1", "Number 2", "Number 3", "Number 4")
    with Server() as server:
        sender = outboxes.start(server)
        wait_for_subjects(browser)
        browser.wait_for("document.querySelector('[data-view=done] b').textContent === '4'")
        browser.wait_for("document.querySelectorAll('#bars rect.sent').length")
        outboxes.stop(sender)
    assert "4 accepted, 0 failed" in browser.text("#hour")
    assert "Nothing waits" in browser.text("#empty")


def test_in_the_background_the_page_asks_nothing_and_then_at_once(
    browser: Browser, page: ServedPage, waiting: OutboxRef
) -> None:
    wait_for_subjects(browser, "Number 1", "Number 2", "Number 3")
    browser.hide()
    waiting.ask(Put(mail(4)))
    # Longer than the page waits between two looks.
    browser.run("new Promise((done) => setTimeout(done, 1800))")
    assert subjects(browser) == ["Number 1", "Number 2", "Number 3"]
    browser.hide(is_hidden=False)
    wait_for_subjects(browser, "Number 1", "Number 2", "Number 3", "Number 4")


def test_an_email_is_held_only_after_a_person_has_said_yes(
    browser: Browser, page: ServedPage, waiting: OutboxRef
) -> None:
    wait_for_subjects(browser, "Number 1", "Number 2", "Number 3")
    browser.click("#list > li [data-action=hold]")
    assert browser.run("document.getElementById('ask').open")
    assert "Number 1" in browser.text("#ask-what")
    assert browser.run("document.activeElement.id") == "ask-no"
    browser.press("Escape")
    assert browser.run("document.activeElement.dataset.action") == "hold"
    assert state_of(waiting, "order-1") == "ready"

    browser.click("#list > li [data-action=hold]")
    browser.click("#ask-yes")
    wait_for_subjects(browser, "Number 2", "Number 3")
    assert browser.text("#done") == "Held: Number 1"
    assert state_of(waiting, "order-1") == "held"

    show(browser, "held")
    wait_for_subjects(browser, "Number 1")
    browser.click("[data-action=release]")
    browser.click("#ask-yes")
    browser.wait_for("done.textContent === 'Released: Number 1'")
    assert state_of(waiting, "order-1") == "ready"
    wait_for_subjects(browser)


def test_a_cancelled_email_is_gone_and_the_program_hears_so(
    browser: Browser, page: ServedPage, outboxes: Outboxes
) -> None:
    wait_for_subjects(browser, "Number 1", "Number 2", "Number 3")
    browser.click("#list > li:nth-child(2) [data-action=cancel]")
    assert "the program is told that it was cancelled" in browser.text("#ask-text")
    browser.click("#ask-yes")
    [outcome] = outboxes.wait_for(1)
    assert outcome.mail.id == "mail-2"
    wait_for_subjects(browser, "Number 1", "Number 3")
    show(browser, "failed")
    wait_for_subjects(browser, "Number 2")
    assert "failed: cancelled" in browser.text("#list .badges")


def test_what_is_too_late_is_said(
    browser: Browser, page: ServedPage, waiting: OutboxRef, outboxes: Outboxes
) -> None:
    wait_for_subjects(browser, "Number 1", "Number 2", "Number 3")
    browser.click("#list > li [data-action=hold]")
    assert page.act("cancel", "order-1")
    browser.click("#ask-yes")
    browser.wait_for("done.textContent.startsWith('Too late: Number 1')")
    assert browser.run("done.className") == "bad"


def test_a_failed_email_is_sent_again(browser: Browser, outboxes: Outboxes) -> None:
    with Server(refuse("RCPT", "550 5.1.1 no such mailbox")) as server:
        ref = outboxes.start(server)
        ref.ask(mail(1))
        outboxes.stop(ref)
    with Server() as server, serving(outboxes.path) as page:
        outboxes.start(server)
        open_page(browser, page, "failed")
        wait_for_subjects(browser, "Number 1")
        assert "550 5.1.1 no such mailbox" in browser.text("#list .why")
        browser.click("[data-action=retry]")
        browser.click("#ask-yes")
        browser.wait_for("document.querySelector('[data-view=done] b').textContent === '1'")
        wait_for_subjects(browser)
        browser.open("about:blank")


def test_a_doubt_is_marked_and_to_send_again_warns_of_a_second_copy(
    browser: Browser, outboxes: Outboxes
) -> None:
    with Server(drop(".")) as server:
        ref = outboxes.start(server)
        ref.ask(Put(mail(1), at_least_once=False))
        outboxes.wait_for(1)
        outboxes.stop(ref)
    with serving(outboxes.path) as page:
        open_page(browser, page, "doubts")
        wait_for_subjects(browser, "Number 1")
        assert "may have been accepted" in browser.text("#list .badges")
        browser.click("[data-action=retry]")
        assert "Then it comes twice" in browser.text("#ask-text").replace("then", "Then")
        browser.click("#ask-no")
        browser.open("about:blank")


def test_a_search_finds_by_address_and_an_empty_one_shows_all_again(
    browser: Browser, page: ServedPage, waiting: OutboxRef
) -> None:
    waiting.ask(Put(mail(9, recipients="someone@elsewhere.example")))
    browser.run("document.getElementById('search').focus()")
    browser.type("SOMEONE@else")
    browser.press("Enter")
    wait_for_subjects(browser, "Number 9")
    assert browser.text("#list-title") == "Emails with “SOMEONE@else”"
    browser.run("document.getElementById('search').value = 'nobody at all'")
    browser.press("Enter")
    wait_for_subjects(browser)
    assert "No email has “nobody at all”" in browser.text("#empty")
    browser.click("[data-view=waiting]")
    wait_for_subjects(browser, "Number 1", "Number 2", "Number 3", "Number 9")


def test_markup_in_subjects_replies_and_addresses_is_text_and_runs_nothing(
    browser: Browser, outboxes: Outboxes
) -> None:
    with Server(refuse("RCPT", f"550 {MARKUP}")) as server:
        ref = outboxes.start(server, alias="<u>shop</u>")
        ref.ask(
            Put(
                SendMail(
                    sender='"<i>me</i>"@example.com',
                    recipients='"<s>you</s>"@example.org',
                    subject=MARKUP,
                    body="1",
                ),
                key=f"key {MARKUP}",
            )
        )
        outboxes.wait_for(1)
        outboxes.stop(ref)
    with serving(outboxes.path) as page:
        open_page(browser, page, "failed")
        wait_for_subjects(browser, MARKUP)
        browser.click("#list summary")
        assert f"550 {MARKUP}" in browser.text("#list .why")
        shown = browser.text("#list dl")
        for text in ('"<s>you</s>"@example.org', f"key {MARKUP}", "<u>shop</u>"):
            assert text in shown
        assert browser.run("document.querySelectorAll('#list :is(img,script,b,i,s,u)').length") == 0
        browser.click("[data-action=retry]")
        assert MARKUP in browser.text("#ask-what")
        browser.click("#ask-no")
        browser.open("about:blank")
    assert browser.dialogs == []


def test_the_policy_stops_a_script_that_would_have_got_in(
    browser: Browser, page: ServedPage
) -> None:
    refused = browser.run(
        "(() => { try { document.body.innerHTML = '<b>x</b>'; return false; }"
        " catch { return true; } })()"
    )
    inline = browser.run(
        "(() => { const s = document.createElement('script');"
        " try { s.textContent = 'window.ran = 1'; document.head.append(s); } catch {}"
        " return window.ran === undefined; })()"
    )
    browser.complaints.clear()  # that is what the browser complains about

    assert (refused, inline) == (True, True)


def test_by_keyboard_alone_an_email_is_held_and_the_focus_stays_in_the_list(
    browser: Browser, page: ServedPage, waiting: OutboxRef
) -> None:
    wait_for_subjects(browser, "Number 1", "Number 2", "Number 3")
    browser.press("Tab")
    assert browser.run("document.activeElement.className") == "skip"
    browser.press("Enter")
    for _ in range(2):  # Cancel, then Hold
        browser.press("Tab")
    assert browser.run("document.activeElement.ariaLabel") == "Hold: Number 1"
    browser.press("Enter")
    browser.press("Tab")
    assert browser.run("document.activeElement.id") == "ask-yes"
    browser.press("Enter")
    wait_for_subjects(browser, "Number 2", "Number 3")
    assert state_of(waiting, "order-1") == "held"
    browser.wait_for("document.activeElement.id === 'emails'")


def test_an_update_takes_neither_the_focus_nor_what_was_opened(
    browser: Browser, page: ServedPage, waiting: OutboxRef
) -> None:
    wait_for_subjects(browser, "Number 1", "Number 2", "Number 3")
    browser.click("#list > li:nth-child(3) summary")
    browser.run("document.querySelector('#list > li:nth-child(3) [data-action=hold]').focus()")
    page.act("cancel", "order-1")
    page.act("retry", "order-3")
    wait_for_subjects(browser, "Number 2", "Number 3")

    assert browser.run("document.activeElement.ariaLabel") == "Hold: Number 3"
    assert browser.run("document.querySelector('#list > li:nth-child(2) details').open")


def test_every_control_has_a_name_and_news_are_announced(
    browser: Browser, page: ServedPage
) -> None:
    nameless = browser.run(
        "[...document.querySelectorAll('button, a, input:not([hidden]), svg, nav, dialog')]"
        ".filter((n) => !(n.ariaLabel || n.textContent.trim() || n.labels?.length"
        " || document.getElementById(n.getAttribute('aria-labelledby'))?.textContent.trim()"
        " || n.closest('dialog:not([open])'))).map((n) => n.outerHTML)"
    )
    assert nameless == []
    assert browser.run("document.documentElement.lang") == "en"
    assert browser.run("done.getAttribute('role')") == "status"
    assert browser.run("trouble.getAttribute('role')") == "alert"


@pytest.mark.parametrize("width", [400, 1200])
@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
def test_nothing_is_cut_off_or_lies_on_something_else(
    browser: Browser, outboxes: Outboxes, tmp_path: Path, width: int, is_dark: bool
) -> None:
    long = "a-very-long-local-part-of-an-address-nobody-would-have-chosen"
    with Server(
        refuse("RCPT", f"550 5.1.1 {'x' * 200} {MARKUP}", to="no@x.test"),
        defer("RCPT", "450 4.2.0 greylisted", to="later@x.test"),
    ) as server:
        ref = outboxes.start(server)
        for number, to in enumerate(("no@x.test", "later@x.test", "yes@x.test")):
            ref.ask(Put(mail(number, recipients=(to, f"{long}@example.org"), subject="y" * 300)))
        ref.ask(Put(mail(7, recipients="later@x.test"), at_least_once=False))
        wait_until(lambda: len(outboxes.heard) >= 1, PATIENCE)
        outboxes.stop(ref)
    browser.resize(width, is_dark=is_dark)
    with serving(outboxes.path) as page:
        open_page(browser, page)
        for view in VIEWS:
            show(browser, view)
            browser.run("document.querySelectorAll('details').forEach((n) => { n.open = true; })")
            assert browser.run("document.documentElement.scrollWidth") <= width
            assert browser.run(CUT) == []
            assert browser.run(OVERLAPS) == []
        if browser.run("document.querySelector('[data-action]') !== null"):
            browser.click("[data-action]")
            assert browser.run(CUT) == []
            browser.click("#ask-no")
        browser.open("about:blank")


def test_light_and_dark_have_colours_that_can_be_read(browser: Browser, page: ServedPage) -> None:
    contrast = """(() => {
      const light = (c) => { const [r, g, b] = c.match(/[\\d.]+/g).map((v) => { v /= 255;
        return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
      const ground = (n) => { for (; n; n = n.parentElement) {
        const c = getComputedStyle(n).backgroundColor; if (!c.endsWith(', 0)')) return c; }
        return 'rgb(255,255,255)'; };
      return [...document.querySelectorAll('h1, h2, h3, p, button, a, .badge, summary, b')]
        .filter((n) => n.checkVisibility() && n.textContent.trim() && !n.closest('.skip'))
        .map((n) => { const a = light(getComputedStyle(n).color), b = light(ground(n));
          return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), n.outerHTML.slice(0, 60)]; })
        .filter(([ratio]) => ratio < 4.5); })()"""
    wait_for_subjects(browser, "Number 1", "Number 2", "Number 3")
    for is_dark in (False, True):
        browser.resize(1200, is_dark=is_dark)
        assert browser.run(contrast) == []


def test_a_file_that_is_gone_is_said_and_its_return_is_seen(
    browser: Browser, outboxes: Outboxes, waiting: OutboxRef, tmp_path: Path
) -> None:
    outboxes.stop(waiting)
    with serving(outboxes.path) as page:
        open_page(browser, page)
        away = outboxes.path.rename(tmp_path / "away.db")
        browser.wait_for("!trouble.hidden")
        assert "mail.db is not there" in browser.text("#trouble")
        away.rename(outboxes.path)
        browser.wait_for("trouble.hidden")
        assert "No process has this file open" in browser.text("#advice")
        browser.open("about:blank")
    browser.complaints.clear()  # of the status 503


def test_an_end_of_the_command_is_said(
    browser: Browser, outboxes: Outboxes, waiting: OutboxRef
) -> None:
    with contextlib.ExitStack() as exits:
        page = exits.enter_context(serving(outboxes.path))
        open_page(browser, page)
        exits.close()
        browser.wait_for("!trouble.hidden")
        assert "it has ended, or cannot be reached" in browser.text("#trouble")
    browser.open("about:blank")
    browser.complaints.clear()  # of the connection


def test_a_person_logs_in_with_the_token(
    browser: Browser, outboxes: Outboxes, waiting: OutboxRef
) -> None:
    with serving(outboxes.path, TOKEN) as page:
        browser.open(page.url)
        browser.wait_for("document.activeElement.id === 'token'")
        assert "Number 1" not in browser.text()
        browser.type("wrong")
        browser.press("Enter")
        browser.wait_for("trouble.textContent === 'That is not the token.'")
        browser.type(TOKEN)
        browser.press("Enter")
        wait_for_subjects(browser, "Number 1", "Number 2", "Number 3")
        assert browser.run("login.hidden && trouble.hidden")
        assert browser.run("document.cookie") == ""
        assert TOKEN not in browser.run("location.href + document.documentElement.outerHTML")
        browser.open(page.url)
        wait_for_subjects(browser, "Number 1", "Number 2", "Number 3")
        browser.open("about:blank")
    browser.complaints.clear()  # of the statuses 401 and 403
