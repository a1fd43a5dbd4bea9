// npm's smtp-server, as its configuration (a JSON file, the only argument) says; see node_smtp_server.py.
//
// Each mail is in a file of its own before its verdict is sent: `accept` fails the mail if that cannot be written.
'use strict';

const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { SMTPServer } = require('smtp-server');

const configuration = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const { replies, users, token, folder, marker } = configuration;
let mails = 0;

function refusal(reply) {
    const error = new Error(reply.slice(4));
    error.responseCode = Number(reply.slice(0, 3));
    return error;
}

function authenticate(auth, session, callback) {
    const password = users[auth.username];
    let known = false;
    if (password !== undefined) {
        if (auth.method === 'CRAM-MD5') {
            known = auth.validatePassword(password);
        } else if (auth.method === 'XOAUTH2') {
            known = auth.accessToken === token;
        } else {
            known = auth.password === password;
        }
    }
    if (known) {
        return callback(null, { user: auth.username });
    }
    // For XOAUTH2 a challenge with the reason, which the client has to answer.
    const data = { status: '401', schemes: 'bearer', scope: 'mail' };
    return callback(null, { data });
}

function store(session, data) {
    const name = path.join(folder, String(mails++).padStart(6, '0'));
    const mail = {
        sender: session.envelope.mailFrom.address,
        recipients: session.envelope.rcptTo.map(recipient => recipient.address),
        data: data.toString('base64')
    };
    fs.writeFileSync(name + '.new', JSON.stringify(mail));
    // Whole or not at all, for whoever looks into the folder.
    fs.renameSync(name + '.new', name + '.json');
}

function receive(stream, session, callback) {
    const parts = [];
    stream.on('data', part => stream.sizeExceeded || parts.push(part));
    stream.on('end', () => {
        const data = Buffer.concat(parts);
        if (stream.sizeExceeded) {
            return callback(refusal('552 5.3.4 Message too big'));
        }
        if (replies['.'] || data.includes(marker)) {
            return callback(refusal(replies['.'] || '554 5.6.0 The content is refused'));
        }
        store(session, data);
        if (!configuration.options.lmtp) {
            return callback(null, '2.0.0 taken');
        }
        // RFC 2033 section 4.2: one reply for each recipient.
        const verdict = who => (replies['. ' + who] ? refusal(replies['. ' + who]) : '2.0.0 taken');
        return callback(null, session.envelope.rcptTo.map(recipient => verdict(recipient.address)));
    });
}

const server = new SMTPServer({
    ...configuration.options,
    secureOptions: crypto.constants.SSL_OP_NO_TLSv1 | crypto.constants.SSL_OP_NO_TLSv1_1,
    onAuth: authenticate,
    onRcptTo(address, session, callback) {
        const reply = replies[address.address];
        return callback(reply ? refusal(reply) : null);
    },
    onData: receive
});
// Clients that reset their connections, or do not trust the certificate: they are the tests' business.
server.on('error', error => console.error(error.message));
server.listen(0, configuration.host);
