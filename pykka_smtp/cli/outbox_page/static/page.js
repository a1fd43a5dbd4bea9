"use strict";
// All text of emails and servers goes in by textContent: it can be anything.

const VIEWS = {
  waiting: ["Waiting", "What is due goes first: by priority, then by time.",
    "Nothing waits. What a program puts, with outbox.ask(Put(mail)), is seen here until it is sent."],
  working: ["Under way", "A process has these in hand, or their outcome is on its way to the program.",
    "Nothing is under way. What is sent takes moments, so this is empty most of the time."],
  failed: ["Failed", "The newest first. These are not tried again unless you say so.",
    "No email has failed, of those that are kept."],
  doubts: ["In doubt", "A server may have accepted these: a connection broke, or a process died, after the end"
    + " of the email went out. Ask the recipient, or look into the server's log, before you send one again.",
    "No email is in doubt."],
  held: ["Held", "Not sent until you release them: somebody held them, or processes died of them.",
    "Nothing is held. To keep an email back, press Hold where it waits."],
  done: ["Done", "Accepted by a server, and heard by the program. The newest first.",
    "No email that was sent is kept. After a week (keep_sent) they are removed."],
};
const KINDS = {
  SMTP: "refused", CONNECT: "no connection", CONNECTION: "connection lost", TIMEOUT: "timed out",
  PROTOCOL: "server broke the protocol", SECURITY: "TLS or login failed", LOCAL: "could not be sent",
  CANCELLED: "cancelled", INTERNAL: "internal error",
};
const ACTIONS = {
  cancel: ["Cancel", "Cancel this email?", "It will not be sent, and the program is told that it was cancelled.",
    "Cancel the email", "Cancelled"],
  hold: ["Hold", "Hold this email?", "It stays in the file, and is not sent until you release it.",
    "Hold the email", "Held"],
  release: ["Release", "Release this email?", "It is sent as soon as it is due.", "Release the email", "Released"],
  retry: ["Send now", "Send this email now?", "It goes to those recipients that have not accepted it, as soon as"
    + " there is a connection.", "Send the email", "To be sent"],
};
const TWICE = " A server may have it already: then it comes twice.";
const STEP = 50;
const MOST = 499;
const SECOND = 1000;

const at = (id) => document.getElementById(id);
const show = (id, is) => { at(id).hidden = !is; };
const say = (id, text) => { const node = at(id); if (node.textContent !== text) node.textContent = text; };
const number = (value) => value.toLocaleString("en");

let view = "waiting";
let search = "";
let most = STEP;
let csrf = "";
let timer = 0;
let asked = 0; // the number of the last question: an older answer is not shown
let skew = 0; // seconds that the server's clock is ahead
let older = []; // what an earlier part of a search has found
let next = null;

function make(tag, name, ...inside) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  node.append(...inside.filter((one) => one !== null));
  return node;
}

// Times

const now = () => Date.now() / SECOND + skew;

function span(seconds) {
  const size = Math.abs(seconds);
  if (size < 60) return `${Math.round(size)} s`;
  if (size < 3600) return `${Math.round(size / 60)} min`;
  if (size < 86400 * 2) return `${Math.round(size / 3600)} h`;
  return `${Math.round(size / 86400)} days`;
}

function relative(seconds) {
  if (Math.abs(seconds) < 1) return "now";
  return seconds < 0 ? `${span(seconds)} ago` : `in ${span(seconds)}`;
}

const clock = (seconds) => new Date(seconds * SECOND).toLocaleString("sv"); // 2026-12-02 03:15:00

function time(seconds, before = "", isExact = false) {
  const node = make("time");
  node.dateTime = new Date(seconds * SECOND).toISOString();
  node.dataset.at = seconds;
  node.dataset.before = before;
  node.title = clock(seconds);
  if (isExact) node.dataset.exact = "";
  tick(node);
  return node;
}

function tick(node) {
  const when = Number(node.dataset.at);
  const text = node.dataset.before + relative(when - now());
  const whole = "exact" in node.dataset ? `${clock(when)} (${text})` : text;
  if (node.textContent !== whole) node.textContent = whole;
}

// One email

const isDoubtful = (email) => email.maybe || email.doubts > 0;
const hasFailed = (email) => email.is_sent === false;

function badge(text, kind = "") {
  return make("span", `badge ${kind}`, text);
}

function badges(email) {
  const list = make("p", "badges");
  const { state } = email;
  if (state === "ready" && email.due <= now()) list.append(badge("due now"));
  else if (state === "ready") list.append(make("span", "badge", time(email.due, "due ")));
  else if (state === "claimed") list.append(badge("being sent"));
  else if (state === "dot") list.append(badge("its end is on the way to the server"));
  else if (state === "held") list.append(badge("held", "doubt"));
  if (state === "told") list.append(badge("its outcome is on the way to the program"));
  if (hasFailed(email)) list.append(badge(KINDS[email.kind] ? `failed: ${KINDS[email.kind]}` : "failed", "bad"));
  if (email.is_sent) list.append(badge("accepted", "good"));
  if (email.is_sent && email.refused.length) list.append(badge(`not for ${email.refused.length} of ${email.recipient_count}`, "bad"));
  if (email.maybe) list.append(badge("may have been accepted", "doubt"));
  if (email.doubts > 0) {
    const times = email.doubts === 1 ? "1 earlier attempt" : `${email.doubts} earlier attempts`;
    list.append(badge(`${times} may have been accepted`, "doubt"));
  }
  if (email.crashes > 0) list.append(badge(email.crashes === 1 ? "a process died with it" : `${email.crashes} processes died with it`, "doubt"));
  if (email.attempts > 0) list.append(badge(email.attempts === 1 ? "1 attempt" : `${email.attempts} attempts`));
  if (email.ended_at !== null) list.append(make("span", "badge", time(email.ended_at)));
  else list.append(make("span", "badge", time(email.put_at, "put ")));
  return list;
}

function facts(email) {
  const rows = make("dl", "facts");
  const add = (name, value) => {
    if (value !== null && value !== "") rows.append(make("dt", "", name), make("dd", "", value));
  };
  add("Key", email.key);
  if (email.id !== email.key) add("Id", email.id);
  add("Alias", email.alias);
  add("From", email.sender);
  const more = email.recipient_count - email.recipients.length;
  add("To", email.recipients.join(", ") + (more > 0 ? ` and ${number(more)} more` : ""));
  email.refused.forEach((line) => add("Not accepted", line));
  add("Size", email.size === 1 ? "1 octet" : `${number(email.size)} octets`);
  add("Put", time(email.put_at, "", true));
  if (email.state === "ready") add("Due", time(email.due, "", true));
  if (email.expires !== null) add("Expires", time(email.expires, "", true));
  if (email.ended_at !== null) add("Ended", time(email.ended_at, "", true));
  if (email.priority) add("Priority", String(email.priority));
  add("If in doubt", email.at_least_once ? "sent again" : "not sent again");
  return make("details", "", make("summary", "", "More"), rows);
}

function subject(email) {
  if (email.subject) return email.subject;
  return make("span", "none", email.is_readable ? "(no subject)" : "(cannot be read: it is encrypted)");
}

function recipients(email) {
  const more = email.recipient_count - 2;
  return `to ${email.recipients.slice(0, 2).join(", ")}${more > 0 ? ` and ${number(more)} more` : ""}`;
}

function item(email) {
  let kind = email.is_sent ? "sent" : "";
  if (hasFailed(email)) kind = "failed";
  if (isDoubtful(email)) kind = "doubt";
  const title = make("h3", "", subject(email));
  title.tabIndex = -1;
  const text = make("div", "", title,
    email.is_readable ? make("p", "to", recipients(email)) : null,
    email.why ? make("p", "why", email.why) : null, badges(email));
  const actions = make("div", "actions");
  for (const name of email.actions) {
    const button = make("button", "", name === "retry" && hasFailed(email) ? "Send again" : ACTIONS[name][0]);
    button.type = "button";
    button.dataset.action = name;
    button.setAttribute("aria-label", `${button.textContent}: ${email.subject || email.key}`);
    button.addEventListener("click", () => ask(name, email));
    actions.append(button);
  }
  const node = make("li", kind, text, actions, facts(email));
  node.dataset.seq = email.seq;
  node.written = JSON.stringify([email, email.due <= now()]);
  return node;
}

// The list: what is unchanged stays, so that it keeps focus and selection.

function fill(emails) {
  const list = at("list");
  const known = new Map([...list.children].map((node) => [node.dataset.seq, node]));
  const focused = document.activeElement;
  const seq = focused?.closest?.("#list > li")?.dataset.seq;
  const action = focused?.dataset?.action;
  const wanted = emails.map((email) => {
    const old = known.get(String(email.seq));
    known.delete(String(email.seq));
    if (old?.written === JSON.stringify([email, email.due <= now()])) return old;
    const node = item(email);
    if (old?.querySelector("details").open) node.querySelector("details").open = true;
    old?.remove();
    return node;
  });
  known.forEach((node) => node.remove());
  wanted.forEach((node, index) => {
    if (list.children[index] !== node) list.insertBefore(node, list.children[index] ?? null);
  });
  if (seq && document.activeElement !== focused) {
    const node = wanted.find((one) => one.dataset.seq === seq);
    const button = node && action && node.querySelector(`[data-action="${action}"]`);
    (button || node?.querySelector("h3") || at("emails")).focus();
  }
  list.querySelectorAll("time").forEach(tick);
}

// The picture

function bar(x, y, height, name) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  for (const [key, value] of Object.entries({ x, y, width: 8, height, class: name })) node.setAttribute(key, value);
  return node;
}

function draw({ first, sent, failed }) {
  const totals = sent.map((count, i) => count + failed[i]);
  const peak = Math.max(...totals);
  const good = sent.reduce((a, b) => a + b, 0);
  const bad = failed.reduce((a, b) => a + b, 0);
  const bars = at("bars");
  const written = JSON.stringify([first, sent, failed]);
  if (bars.written === written) return;
  bars.written = written;
  const scale = peak ? 96 / peak : 0;
  bars.replaceChildren(...totals.flatMap((_, i) => {
    const low = sent[i] * scale;
    const high = failed[i] * scale;
    return [sent[i] && bar(i * 10 + 1, 100 - low, low, "sent"),
      failed[i] && bar(i * 10 + 1, 100 - low - high, high, "failed")].filter(Boolean);
  }));
  const minute = (index) => new Date((first + index * 60) * SECOND).toLocaleTimeString("sv").slice(0, 5);
  say("peak", peak ? `${number(peak)} a minute` : "");
  say("from", minute(0));
  say("hour", peak
    ? `${number(good)} accepted, ${number(bad)} failed; at most ${number(peak)} in a minute, at ${minute(totals.indexOf(peak))}.`
    : "No email was accepted or has failed.");
}

// What is shown

function links(counts) {
  const nav = at("views");
  if (!nav.children.length) {
    for (const name of Object.keys(VIEWS)) {
      const link = make("a", "", make("b"), " ", VIEWS[name][0]);
      link.href = `#${name}`;
      link.dataset.view = name;
      nav.append(link);
    }
  }
  for (const link of nav.children) {
    const name = link.dataset.view;
    const count = counts[name];
    const text = number(count) + (name === "doubts" && count >= 500 ? "+" : "");
    const node = link.querySelector("b");
    if (node.textContent !== text) node.textContent = text;
    if (!search && name === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    link.className = count && name === "failed" ? "bad" : count && (name === "doubts" || name === "held") ? "doubt" : "";
  }
}

function advice({ lives, counts, oldest_due: due }) {
  if (!lives.alive && counts.waiting + counts.working) {
    return "No process has this file open, so nothing is sent. Start your program, or a worker: pykka-smtp outbox run.";
  }
  if (counts.waiting && due !== null && now() - due > 300) {
    return `An email is due for ${span(now() - due)}. If nothing is under way either, no process sends: look into the`
      + " program's log, or start a worker: pykka-smtp outbox run.";
  }
  return "";
}

function render(state) {
  csrf = state.csrf;
  skew = state.now - Date.now() / SECOND;
  say("file", state.file);
  document.title = `${state.file}: ${number(state.counts.waiting)} waiting, ${number(state.counts.failed)} failed`;
  const processes = state.lives.alive === 1 ? "1 process" : `${number(state.lives.alive)} processes`;
  say("state", `${processes}, ${size(state.octets)}, in ${state.folder}`);
  const text = advice(state);
  say("advice", text);
  show("advice", text);
  draw(state.minutes);
  links(state.counts);
  const [title, about, nothing] = VIEWS[view];
  let emails = state.emails;
  if (search) {
    const seen = new Set(emails.map((email) => email.seq));
    emails = [...emails, ...older.filter((email) => !seen.has(email.seq))];
    if (next === null) next = state.next;
  }
  say("list-title", search ? `Emails with “${search}”` : title);
  say("about", search ? "In an address, the key, the id or the subject; the newest first. An empty search shows all again." : about);
  fill(emails);
  show("empty", !emails.length);
  say("empty", search ? `No email has “${search}” in an address, its key, id or subject${next ? ", of those looked at so far" : ""}. A part of an address is enough.` : nothing);
  show("more", search ? next !== null && next !== 0 : state.more && most < MOST);
  say("more", search ? "Search further back" : "Show more");
}

function size(octets) {
  if (octets < 1e6) return `${Math.ceil(octets / 1e3)} kB`;
  if (octets < 1e9) return `${(octets / 1e6).toFixed(1)} MB`;
  return `${(octets / 1e9).toFixed(1)} GB`;
}

// Questions to the server

class Refused extends Error {
  constructor(status, text) { super(text); this.status = status; }
}

async function request(path, body) {
  const options = { credentials: "same-origin", cache: "no-store", signal: AbortSignal.timeout(15 * SECOND) };
  if (body) {
    options.method = "POST";
    options.headers = { "Content-Type": "application/json", "X-Csrf": csrf };
    options.body = JSON.stringify(body);
  }
  let reply;
  try {
    reply = await fetch(path, options);
  } catch {
    throw new Refused(0, "The command that serves this page does not answer: it has ended, or cannot be reached."
      + " What is shown may be old. Start it again: pykka-smtp outbox page.");
  }
  const made = await reply.json().catch(() => ({ error: "The answer cannot be read." }));
  if (!reply.ok) throw new Refused(reply.status, made.error);
  return made;
}

function query(before) {
  const words = new URLSearchParams(search ? { search, most: STEP } : { view, most });
  if (before) words.set("before", before);
  return `/api/state?${words}`;
}

async function refresh() {
  clearTimeout(timer);
  const mine = ++asked;
  const begun = performance.now();
  let wait = SECOND;
  try {
    const state = await request(query());
    if (mine !== asked) return;
    show("trouble", false);
    show("login", false);
    show("main", true);
    render(state);
    // Where a look takes long, it is taken less often.
    wait = Math.max(SECOND, 5 * (performance.now() - begun));
  } catch (error) {
    if (mine !== asked) return;
    if (!(error instanceof Refused)) throw error;
    if (error.status === 401) {
      logIn();
      return;
    }
    say("trouble", error.message);
    show("trouble", true);
    wait = 3 * SECOND;
  }
  if (!document.hidden) timer = setTimeout(refresh, wait);
}

function logIn() {
  show("main", false);
  show("trouble", false);
  if (at("login").hidden) {
    show("login", true);
    at("token").focus();
  }
}

at("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const token = at("token").value;
  at("token").value = "";
  try {
    await request("/api/login", { token });
    await refresh();
    at("emails").focus();
  } catch (error) {
    say("trouble", error.message);
    show("trouble", true);
    at("token").focus();
  }
});

function outcome(text, isBad = false) {
  say("done", text);
  at("done").className = isBad ? "bad" : "";
}

function ask(name, email) {
  const [, title, text, yes] = ACTIONS[name];
  say("ask-title", title);
  say("ask-what", `${email.subject || email.key}${email.is_readable ? `, ${recipients(email)}` : ""}`);
  say("ask-text", text + (isDoubtful(email) && name !== "cancel" && name !== "hold" ? TWICE : ""));
  say("ask-yes", yes);
  at("ask-yes").onclick = () => { at("ask").close(); act(name, email); };
  at("ask").showModal();
  at("ask-no").focus();
}

at("ask-no").addEventListener("click", () => at("ask").close());

async function act(name, email) {
  try {
    const { done } = await request("/api/act", { action: name, alias: email.alias, key: email.key });
    const what = email.subject || email.key;
    outcome(done ? `${ACTIONS[name][4]}: ${what}` : `Too late: ${what} has moved on meanwhile. Nothing was changed.`, !done);
  } catch (error) {
    outcome(`Nothing was changed. ${error.message}`, true);
  }
  refresh();
}

// What a person chooses

function choose() {
  const wanted = location.hash.slice(1);
  if (!(wanted in VIEWS) && wanted) return; // the skip link
  view = wanted || "waiting";
  search = "";
  at("search").value = "";
  startAnew();
}

function startAnew() {
  most = STEP;
  older = [];
  next = null;
  outcome("");
  refresh();
}

at("find").addEventListener("submit", (event) => {
  event.preventDefault();
  search = at("search").value.trim();
  startAnew();
});
at("search").addEventListener("search", () => {
  if (!at("search").value && search) { search = ""; startAnew(); }
});
at("more").addEventListener("click", async () => {
  if (!search) {
    most = Math.min(most + STEP, MOST);
    refresh();
    return;
  }
  at("more").disabled = true;
  try {
    const mine = search;
    const state = await request(query(next));
    if (mine !== search) return;
    older = [...older, ...state.emails].slice(-MOST);
    next = state.next === null ? 0 : state.next;
    await refresh();
  } catch (error) {
    outcome(error.message, true);
  } finally {
    at("more").disabled = false;
  }
});
at("views").addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (link && link.hash === location.hash) choose(); // back from a search: the hash does not change
});
addEventListener("hashchange", choose);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else refresh();
});
choose();
