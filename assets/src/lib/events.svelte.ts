// Owns the one event stream of this tab and its state: live, reconnecting, off.
import type { Cluster, Overview } from './api/types.ts';
import { session } from './session.svelte.ts';

interface Payloads {
  cluster: Cluster;
  clusterDeleted: { uid: string };
  overview: Overview;
  session: { state: string };
  /** Ours: the stream came back after a gap, so lists must be read again. */
  gap: null;
}
type Handler<K extends keyof Payloads> = (payload: Payloads[K]) => void;
const NAMES = ['cluster', 'clusterDeleted', 'overview', 'session'] as const;

class Events {
  state = $state<'live' | 'reconnecting' | 'off'>('off');
  #source: EventSource | null = null;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #failures = 0;
  #wasLive = false;
  #handlers = new Map<string, Set<(payload: never) => void>>();

  /** Listens until the returned function is called; made for $effect. */
  on<K extends keyof Payloads>(name: K, handler: Handler<K>): () => void {
    const handlers = this.#handlers.get(name) ?? new Set();
    this.#handlers.set(name, handlers);
    handlers.add(handler as (payload: never) => void);
    return () => handlers.delete(handler as (payload: never) => void);
  }

  open(): void {
    if (this.#source) return;
    this.state = this.#wasLive ? 'reconnecting' : this.state;
    const source = new EventSource('/v1/events');
    this.#source = source;
    source.onopen = () => {
      this.state = 'live';
      this.#failures = 0;
      if (this.#wasLive) this.#tell('gap', null);
      this.#wasLive = true;
    };
    source.onerror = () => {
      this.state = 'reconnecting';
      // The browser retries a broken connection itself, but never a refused one.
      if (source.readyState === EventSource.CLOSED) this.#again();
    };
    for (const name of NAMES) {
      source.addEventListener(name, (event) => this.#tell(name, JSON.parse((event as MessageEvent<string>).data)));
    }
  }

  close(): void {
    clearTimeout(this.#retry);
    this.#source?.close();
    this.#source = null;
    this.state = 'off';
  }

  #again(): void {
    this.#source?.close();
    this.#source = null;
    this.#failures += 1;
    const delay = Math.min(30_000, 1_000 * 2 ** this.#failures);
    this.#retry = setTimeout(async () => {
      if (!session.me || session.lost) return;
      // The usual reason for a refusal is an access token that ran out.
      await session.refresh().catch(() => undefined);
      if (session.me && !session.lost) this.open();
    }, delay);
  }

  #tell<K extends keyof Payloads>(name: K, payload: Payloads[K]): void {
    for (const handler of this.#handlers.get(name) ?? []) (handler as Handler<K>)(payload);
  }
}

export const events = new Events();
events.on('session', () => {
  if (session.me) session.lost = true;
});
