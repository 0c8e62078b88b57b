// One HTTPS request. Whose certificate it is has been looked at elsewhere.
//
// Owns: the limit of its time.
import https from 'node:https';

export function request({ host, port = 443, method = 'GET', target, body, headers = {}, limit = 10, agent = false }) {
  return new Promise((done, fail) => {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const sent = https.request(
      { host, port, method, path: target, agent, rejectUnauthorized: false, headers: { ...(text ? { 'content-type': 'application/json' } : {}), ...headers } },
      (response) => {
        const chunks = [];
        response.on('data', (chunk) => chunks.push(chunk));
        response.on('error', fail);
        response.on('end', () => {
          clearTimeout(timer);
          const said = Buffer.concat(chunks).toString();
          let json;
          try {
            json = JSON.parse(said);
          } catch {
            json = undefined;
          }
          done({ status: response.statusCode, headers: response.headers, text: said, json });
        });
      },
    );
    const timer = setTimeout(() => sent.destroy(new Error(`no answer within ${limit} s`)), limit * 1000);
    sent.on('error', (error) => {
      clearTimeout(timer);
      fail(error);
    });
    sent.end(text);
  });
}
