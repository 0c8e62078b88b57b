// Owns the mock's HTTP: sessions by cookie, routing, problem documents, built files with our real headers.
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { Refusal, refuse } from "./refusal.mjs";
import { routes } from "./routes.mjs";
import { State } from "./state.mjs";

const DIST = join(
  dirname(fileURLToPath(import.meta.url)),
  "../../../assets/dist",
);
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};
const HEADERS = {
  "Content-Security-Policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; base-uri 'none'; " +
    "form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types svelte-trusted-html",
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "same-origin",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cache-Control": "no-store",
};

export async function startMock({
  port = 0,
  demo = false,
  heartbeats = false,
} = {}) {
  const state = new State({ demo });
  const server = createServer(
    (request, response) => void answer(state, request, response),
  );
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  const beat = heartbeats ? setInterval(() => state.beat(), 4_000) : null;
  const url = `http://127.0.0.1:${server.address().port}`;
  state.origin = url;
  return {
    url,
    state,
    setupCode: state.setupCode,
    close: () => {
      clearInterval(beat);
      server.closeAllConnections();
      server.close();
    },
  };
}

async function answer(state, request, response) {
  for (const [name, value] of Object.entries(HEADERS))
    response.setHeader(name, value);
  const url = new URL(request.url, "http://mock");
  const requestId = randomUUID().slice(0, 13);
  try {
    if (!/^\/(v1|mock|readyz|healthz)/.test(url.pathname))
      return await file(url.pathname, response);
    const body = await read(request);
    const { handler, params, open } = find(request.method, url.pathname);
    const cookies = Object.fromEntries(
      (request.headers.cookie ?? "").split("; ").map((pair) => pair.split("=")),
    );
    const bearer = request.headers.authorization?.replace(/^Bearer /, "");
    const me = state.session(cookies["mock-session"], bearer);
    if (!open && !me) refuse(401, "unauthenticated", "You are not logged in.");
    check(request, url.pathname);
    const context = {
      state,
      me,
      params,
      body,
      cookies,
      query: url.searchParams,
      request,
      response,
      requestId,
      version: readVersion(request),
    };
    const result = await handler(context);
    if (!response.headersSent && !response.writableEnded)
      send(response, result);
  } catch (error) {
    problem(response, error, requestId);
  }
}

function find(method, path) {
  for (const [wanted, pattern, handler, options] of routes) {
    if (wanted !== method) continue;
    const found = pattern.exec(path);
    if (found)
      return {
        handler,
        params: found.groups ?? {},
        open: options?.open ?? false,
      };
  }
  return refuse(404, "not-found", "There is no such resource.");
}

/** The rules of the contract that a careless client would break. */
function check(request, path) {
  if (path.startsWith("/mock")) return;
  if (
    request.method === "POST" &&
    !request.headers["idempotency-key"] &&
    !path.includes("/agent/")
  ) {
    refuse(
      400,
      "malformed",
      "The mock wants an Idempotency-Key on every POST.",
    );
  }
  const origin = request.headers.origin;
  if (
    request.method !== "GET" &&
    origin &&
    new URL(origin).hostname !== "127.0.0.1"
  )
    refuse(403, "forbidden", "Cross-site request.");
}

async function read(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  if (chunks.length === 0) return {};
  try {
    return JSON.parse(Buffer.concat(chunks).toString());
  } catch {
    return refuse(400, "malformed", "The body is not JSON.");
  }
}

const readVersion = (request) =>
  Number(/^"(\d+)"$/.exec(request.headers["if-match"] ?? "")?.[1]) || null;

function send(response, result) {
  if (result === undefined) return void response.writeHead(204).end();
  const { status = 200, json = result } = result.json ? result : {};
  if (json.version) response.setHeader("ETag", `"${json.version}"`);
  response
    .writeHead(status, { "Content-Type": "application/json" })
    .end(JSON.stringify(json));
}

function problem(response, error, requestId) {
  const known = error instanceof Refusal;
  if (!known) console.error(error);
  const { status, code, detail, hint, fields, retryAfter } = known
    ? error
    : { status: 500, code: "internal", detail: "The mock failed." };
  if (response.headersSent) return void response.end();
  if (retryAfter) response.setHeader("Retry-After", String(retryAfter));
  response.writeHead(status, { "Content-Type": "application/problem+json" });
  response.end(
    JSON.stringify({
      type: `urn:palisade:problem:${code}`,
      title: code,
      status,
      detail,
      hint,
      requestId,
      code,
      fields,
    }),
  );
}

async function file(path, response) {
  const name = extname(path) ? normalize(path) : "/index.html";
  const plain = await readFile(join(DIST, name)).catch(() =>
    refuse(404, "not-found", `No file ${name}. Was the interface built?`),
  );
  if (name.startsWith("/assets/"))
    response.setHeader("Cache-Control", "public, max-age=31536000, immutable");
  response
    .writeHead(200, {
      "Content-Type": TYPES[extname(name)] ?? "application/octet-stream",
    })
    .end(plain);
}
