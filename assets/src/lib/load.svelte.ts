// Owns one object (or answer) that a page shows: loading, shown, failed.
import { type Problem, asProblem } from './api/client.ts';
import { events } from './events.svelte.ts';

export class Loaded<T> {
  value = $state.raw<T | null>(null);
  problem = $state<Problem | null>(null);
  loading = $state(true);
  #request = 0;
  readonly #read: () => Promise<T>;

  /** Reads at once, again when what `read` looks at changes, and after a gap in the event stream. */
  constructor(read: () => Promise<T>) {
    this.#read = read;
    $effect(() => void this.reload());
    $effect(() => events.on('gap', () => void this.reload()));
  }

  async reload(): Promise<void> {
    const request = ++this.#request;
    const answer = this.#read();
    this.loading = true;
    try {
      const value = await answer;
      if (request !== this.#request) return;
      this.value = value;
      this.problem = null;
    } catch (error) {
      if (request === this.#request) this.problem = asProblem(error);
    } finally {
      if (request === this.#request) this.loading = false;
    }
  }
}
