// A server of Node's http2 for our client, with the paths of httpbin_delay that fetch.sh requests.
// Prints its URL. The certificate is in the folder $TLS.
import { readFileSync } from 'node:fs';
import { createSecureServer } from 'node:http2';

const folder = process.env.TLS;
const options = {
    cert: readFileSync(`${folder}/first.pem`),
    key: readFileSync(`${folder}/first.key`),
    allowHTTP1: true,
};

const server = createSecureServer(options, (request, response) => {
    const [, kind, value] = request.url.split(/[/?]/);
    if (kind === 'delay') {
        setTimeout(() => response.end(), 1000 * Number(value));
    } else if (kind === 'bytes') {
        response.end(Buffer.alloc(Number(value)));
    } else if (kind === 'status') {
        response.writeHead(Number(value)).end();
    } else if (kind === 'stream') {
        for (let line = 0; line < Number(value); line++) {
            response.write(`{"id": ${line}, "url": "${request.url}"}\n`);
        }
        response.end();
    } else if (kind === 'put') {
        const parts = [];
        request.on('data', (part) => parts.push(part));
        request.on('end', () => response.end(Buffer.concat(parts).toString('base64')));
    } else {
        response.end(kind);
    }
});
server.listen(0, '127.0.0.1', () => {
    console.log(`listening on https://127.0.0.1:${server.address().port}`);
});
