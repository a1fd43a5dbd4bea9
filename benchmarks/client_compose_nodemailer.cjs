// Making an email of several parts with nodemailer, without sending it. Arguments: the folder of the
// package, and JSON: "kind" as for client_compose_parts.py, "count", addresses and texts.
"use strict";
const crypto = require("crypto");
const nodemailer = require(process.argv[2]);
const told = JSON.parse(process.argv[3]);
const image = crypto.randomBytes(20008);
const pdf = crypto.randomBytes(50009);

const mail = () => ({
  from: `My Name <${told.sender}>`, to: `Your Name <${told.recipient}>`, subject: told.subject,
  text: told.text,
  ...(told.kind === "plain" ? {} : { html: told.kind === "html" ? told.html : told.page }),
  ...(told.kind === "files" ? {
    attachments: [
      { filename: "logo.png", content: image, cid: "logo" },
      { filename: "report.pdf", content: pdf },
    ],
  } : {}),
});
const transport = nodemailer.createTransport({ streamTransport: true, buffer: true });
const make = () => transport.sendMail(mail());

(async () => {
  for (let i = 0; i < told.count / 2 + 20; i += 1) await make();
  const before = process.cpuUsage();
  for (let i = 0; i < told.count; i += 1) await make();
  const spent = process.cpuUsage(before);
  console.log(JSON.stringify({ microseconds: (spent.user + spent.system) / told.count }));
})();
