// Owns every call to /v1: problem documents, Idempotency-Key, If-Match, one retry after a lost session.
import type { FieldError, ProblemDocument } from './types.ts';

/** What the server said when it refused, or what we say when it did not answer. */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  readonly hint: string | null;
  readonly requestId: string | null;
  readonly fields: FieldError[];
  readonly retryAfter: number | null;

  constructor(
    document: Partial<Omit<ProblemDocument, 'requestId'>> & { requestId?: string | null },
    retryAfter: number | null = null,
  ) {
    super(document.title ?? 'The request failed');
    this.status = document.status ?? 0;
    this.code = document.code ?? 'unknown';
    this.detail = document.detail ?? this.message;
    this.hint = document.hint ?? null;
    this.requestId = document.requestId ?? null;
    this.fields = document.fields ?? [];
    this.retryAfter = retryAfter;
  }
}

export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  return new Problem({
    title: 'The page failed',
    code: 'page-failed',
    detail: error instanceof Error ? error.message : String(error),
    hint: 'Reload the page. If it happens again, report what you did.',
  });
}

export type Query = Record<string, string | number | boolean | null | undefined>;

interface Call {
  body?: unknown;
  query?: Query;
  version?: number | undefined;
  /** False for calls that are themselves about logging in. */
  recover?: boolean;
  /** The answer is a file. */
  file?: boolean;
}

/** Brings a lost session back; answers false when the user gave up. Set by session.svelte.ts. */
let recoverSession: (refreshFailed: boolean) => Promise<boolean> = async () => false;
export function onSessionLost(recover: typeof recoverSession): void {
  recoverSession = recover;
}

/** Server time minus browser time in milliseconds, so that a wrong clock here logs nobody out. */
let skew = 0;
export const serverNow = (): number => Date.now() + skew;

export const api = {
  get: <T>(path: string, query?: Query) => call<T>('GET', path, query ? { query } : {}),
  post: <T = void>(path: string, body?: unknown) => call<T>('POST', path, { body }),
  /** A file that is made now. */
  download: (path: string) => call<Blob>('POST', path, { file: true }),
  patch: <T = void>(path: string, body: unknown, version: number | undefined) =>
    call<T>('PATCH', path, { body, version }),
  put: <T = void>(path: string, body?: unknown, version?: number) => call<T>('PUT', path, { body, version }),
  delete: (path: string, version?: number) => call<void>('DELETE', path, { version }),
  /** For log-in, refresh and log-out: a 401 is the answer, not a lost session. */
  auth: <T = void>(method: 'GET' | 'POST', path: string, body?: unknown) =>
    call<T>(method, path, { body, recover: false }),
};

/** Sends a file as it is; `onsent` hears how many of its bytes are on their way. */
export async function upload<T>(path: string, file: Blob, onsent: (bytes: number) => void): Promise<T> {
  // A session that has ended meanwhile is renewed before hundreds of megabytes are sent in vain.
  await api.get('/auth/me');
  return await new Promise<T>((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('PUT', `/v1${path}`);
    request.setRequestHeader('Accept', 'application/json');
    request.setRequestHeader('Content-Type', 'application/octet-stream');
    request.upload.onprogress = (event) => onsent(event.loaded);
    request.onload = () => {
      const { status, responseText } = request;
      read<T>(new Response(status === 204 ? null : responseText, { status })).then(resolve, reject);
    };
    request.onerror = () =>
      reject(
        new Problem({
          title: 'No answer',
          code: 'no-answer',
          detail: 'The file could not be sent: the connection was lost or the appliance refused it.',
          hint: 'Check your connection and the size of the file, then try again.',
        }),
      );
    request.send(file);
  });
}

async function call<T>(method: string, path: string, { body, query, version, recover = true, file }: Call): Promise<T> {
  const headers: Record<string, string> = { Accept: 'application/json' };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  // One key for all tries of this call, so that a try that was lost on the way back does nothing twice.
  if (method === 'POST') headers['Idempotency-Key'] = crypto.randomUUID();
  if (version !== undefined) headers['If-Match'] = `"${version}"`;
  const request: RequestInit = { method, headers, credentials: 'same-origin', cache: 'no-store' };
  if (body !== undefined) request.body = JSON.stringify(body);

  const url = `/v1${path}${queryString(query)}`;
  let response = await send(url, request);
  for (let tries = 0; response.status === 401 && recover && tries < 2; tries += 1) {
    if (!(await recoverSession(tries > 0))) break;
    response = await send(url, request);
  }
  const date = Date.parse(response.headers.get('Date') ?? '');
  if (date) skew = date - Date.now();
  return response.ok && file ? ((await response.blob()) as T) : read<T>(response);
}

async function send(url: string, request: RequestInit): Promise<Response> {
  try {
    return await fetch(url, request);
  } catch {
    const safe = request.method !== 'PATCH';
    if (safe) {
      await new Promise((resolve) => setTimeout(resolve, 800));
      try {
        return await fetch(url, request);
      } catch {
        // Reported below.
      }
    }
    throw new Problem({
      title: 'No answer',
      code: 'no-answer',
      detail: 'The appliance does not answer.',
      hint: 'Check your connection, then try again. Nothing that you typed is lost.',
    });
  }
}

async function read<T>(response: Response): Promise<T> {
  if (response.ok) {
    // What is only accepted has no body, and neither has what is gone.
    const text = await response.text();
    return (text ? JSON.parse(text) : undefined) as T;
  }
  const retryAfter = Number(response.headers.get('Retry-After')) || null;
  const document = (await response.json().catch(() => null)) as Partial<ProblemDocument> | null;
  throw new Problem(
    { status: response.status, title: `The server answered ${response.status}`, ...document },
    retryAfter,
  );
}

export function queryString(query: Query = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== '') search.set(name, String(value));
  }
  const text = search.toString();
  return text ? `?${text}` : '';
}
