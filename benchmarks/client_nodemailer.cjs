// nodemailer as a client. Arguments: the folder of the package, and JSON as for client_pykka.py;
// besides, "mail" is the mail to send, "limit" the number of sends at a time, "reuse" whether to
// use its pool of so many connections, and "per_connection" the mails on each of these.
"use strict";
const fs = require("fs");
const nodemailer = require(process.argv[2]);
const told = JSON.parse(process.argv[3]);
const options = { host: "127.0.0.1", port: told.port, name: told.name, secure: false };
if (told.ca) Object.assign(options, { requireTLS: true, tls: { ca: fs.readFileSync(told.ca) } });
else options.ignoreTLS = true;
if (told.reuse) {
  Object.assign(options, {
    pool: true, maxConnections: told.limit, maxMessages: told.per_connection,
  });
}
const transport = nodemailer.createTransport(options);
const mail = Buffer.from(told.mail, "latin1");
const envelope = { from: told.sender, to: [told.recipient] };

const composed = () => ({
  from: `My Name <${told.sender}>`, to: `Your Name <${told.recipient}>`, subject: told.subject,
  text: told.text,
});
const sendOne = (raw) => transport.sendMail({ envelope, raw });

async function sendMany(count) {
  let next = 0;
  let sent = 0;
  const work = async () => {
    while (next < count) {
      next += 1;
      await (told.composed ? transport.sendMail(composed()) : sendOne(mail));
      sent += 1;
    }
  };
  // The pool has always a mail ready for a connection that becomes free.
  const workers = told.reuse ? 2 * told.limit : told.limit;
  await Promise.all(Array.from({ length: workers }, work));
  return sent;
}

async function sendInARow(count) {
  for (let i = 0; i < count; i += 1) {
    await sendOne(told.mode === "file" ? fs.createReadStream(told.path) : mail);
  }
  return count;
}

function peak() {
  const line = fs.readFileSync("/proc/self/status", "latin1").match(/^VmHWM:\s+(\d+)/m);
  return Number(line[1]) * 1024;
}

async function main() {
  const many = told.mode === "many";
  await (many ? sendMany(told.warm_up) : Promise.resolve());
  for (let i = 0; !many && i < told.warm_up; i += 1) await sendOne(mail);
  let before = null;
  if (told.mode === "file" && fs.existsSync("/proc/self/clear_refs")) {
    fs.writeFileSync("/proc/self/clear_refs", "5");
    before = peak();
  }
  const cpu = process.cpuUsage();
  const began = process.hrtime.bigint();
  const sent = await (many ? sendMany(told.count) : sendInARow(told.count));
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  const used = process.cpuUsage(cpu);
  const figures = { seconds, cpu: (used.user + used.system) / 1e6, sent };
  if (before !== null) figures.peak = peak() - before;
  transport.close();
  console.log(JSON.stringify(figures));
}

main().catch((error) => {
  console.error(String(error));
  process.exit(1);
});
