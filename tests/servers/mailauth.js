// Verifies the DKIM signatures of emails, with records that are given: no name is looked up.
// Reads {"mails": [base64, ...], "records": {name: text}} and prints [["pass", ...], ...].
'use strict';

const { dkimVerify } = require('mailauth/lib/dkim/verify');

async function main() {
    const pieces = [];
    for await (const piece of process.stdin) pieces.push(piece);
    const asked = JSON.parse(Buffer.concat(pieces).toString());
    const resolver = async (name, type) => {
        if (type === 'TXT' && asked.records[name]) return [[asked.records[name]]];
        const error = new Error('no such name');
        error.code = 'ENOTFOUND';
        throw error;
    };
    const verdicts = [];
    for (const mail of asked.mails) {
        const { results } = await dkimVerify(Buffer.from(mail, 'base64'), { resolver });
        verdicts.push(results.map(each => each.status.result));
    }
    process.stdout.write(JSON.stringify(verdicts));
}

main().catch(error => {
    console.error(error);
    process.exit(1);
});
