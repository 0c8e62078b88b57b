// Owns creating and editing one object in a dialog: values, version, save, "changed meanwhile".
import { api } from './api/client.ts';
import { Form } from './form.svelte.ts';

interface Versioned {
  uid: string;
  version: number;
}

export class Editing<T extends Versioned, V extends Record<string, unknown>> {
  open = $state(false);
  object = $state.raw<T | null>(null);
  values = $state() as V;
  readonly form = new Form();
  readonly #path: string;
  readonly #toValues: (object: T | null) => V;

  constructor(path: string, toValues: (object: T | null) => V) {
    this.#path = path;
    this.#toValues = toValues;
    this.values = toValues(null);
  }

  /** With null: a new object. */
  start(object: T | null): void {
    this.object = object;
    this.values = this.#toValues(object);
    this.form.problem = null;
    this.open = true;
  }

  /** What differs from what was saved; nothing else is sent, so that an edit changes only what was edited. */
  changes(): Partial<V> {
    const before = this.#toValues(this.object);
    return Object.fromEntries(
      Object.entries($state.snapshot(this.values) as V).filter(
        ([name, value]) => JSON.stringify(value) !== JSON.stringify(before[name]),
      ),
    ) as Partial<V>;
  }

  /** Creates or updates; the answer of the server, or null when it refused. */
  async save<A = T>(): Promise<A | null> {
    let answer: A | null = null;
    const done = await this.form.submit(async () => {
      const { object } = this;
      answer = object
        ? await api.patch<A>(`${this.#path}/${object.uid}`, this.changes(), object.version)
        : await api.post<A>(this.#path, $state.snapshot(this.values));
    });
    if (done) this.open = false;
    return answer;
  }

  /** After "changed meanwhile": takes the newest version as the base and keeps what the user typed. */
  async newest(): Promise<void> {
    const object = this.object;
    if (!object) return;
    const typed = this.changes();
    await this.form.submit(async () => {
      const fresh = await api.get<T>(`${this.#path}/${object.uid}`);
      this.object = fresh;
      this.values = { ...this.#toValues(fresh), ...typed };
    });
  }
}
