// Owns a server-paged list whose whole state (page, sort, filters, search) is in the address.
import { type Problem, api, asProblem } from './api/client.ts';
import type { Page } from './api/types.ts';
import { events } from './events.svelte.ts';
import { location, setQuery } from './router.svelte.ts';

interface Options {
  /** Query parameters that filter this list. */
  filters?: string[];
  /** The server's own order, marked in the table but not asked for. */
  sort?: string;
  limit?: number;
  /** Sent as well, or instead of what the address says. */
  fixed?: () => Record<string, string>;
}

const ownState = (): string[] => (history.state as { cursors?: string[] } | null)?.cursors ?? [];

export class List<T extends { uid: string }> {
  items = $state.raw<T[]>([]);
  total = $state(0);
  loading = $state(true);
  loaded = $state(false);
  problem = $state<Problem | null>(null);
  #next = $state<string | null>(null);
  #request = 0;
  #later: ReturnType<typeof setTimeout> | undefined;

  readonly path: string;
  readonly options: Required<Options>;

  constructor(path: string, options: Options = {}) {
    this.path = path;
    this.options = { filters: [], sort: '', limit: 50, fixed: () => ({}), ...options };
    $effect(() => {
      void this.query;
      void this.load();
    });
    $effect(() => events.on('gap', () => void this.load()));
    $effect(() => () => clearTimeout(this.#later));
  }

  /** What is asked of the server, made from the address. */
  readonly query = $derived.by(() => {
    const address = location.query;
    const query: Record<string, string> = {};
    for (const name of ['q', 'cursor', ...this.options.filters]) {
      const value = address.get(name);
      if (value) query[name] = value;
    }
    const sort = address.get('sort');
    if (sort) query.sort = sort;
    query.limit = String(this.options.limit);
    return { ...query, ...this.options.fixed() };
  });

  readonly filtered = $derived.by(() => ['q', ...this.options.filters].some((name) => location.query.has(name)));
  readonly sort = $derived.by(() => location.query.get('sort') ?? this.options.sort);
  readonly page = $derived(Number(location.query.get('page') ?? '1') || 1);
  readonly from = $derived.by(() => (this.page - 1) * this.options.limit + 1);
  readonly to = $derived(this.from + this.items.length - 1);
  readonly hasNext = $derived(this.#next !== null);
  readonly hasPrevious = $derived(this.query.cursor !== undefined);

  async load(): Promise<void> {
    const request = ++this.#request;
    this.loading = true;
    try {
      const page = await api.get<Page<T>>(this.path, this.query);
      if (request !== this.#request) return;
      this.items = page.items;
      this.total = page.total;
      this.#next = page.nextCursor;
      this.problem = null;
      this.loaded = true;
    } catch (error) {
      if (request === this.#request) this.problem = asProblem(error);
    } finally {
      if (request === this.#request) this.loading = false;
    }
  }

  /** Reads again soon; many calls in a row make one request. */
  loadSoon(): void {
    clearTimeout(this.#later);
    this.#later = setTimeout(() => void this.load(), 1_500);
  }

  /** Shows a newer state of a row that is on this page; false when it is not. */
  replace(item: T): boolean {
    const index = this.items.findIndex((row) => row.uid === item.uid);
    if (index < 0) return false;
    this.items = this.items.with(index, item);
    return true;
  }

  filter(change: Record<string, string | null>): void {
    setQuery({ ...change, cursor: null, page: null });
  }

  sortBy(key: string): void {
    this.filter({ sort: this.sort === key ? `-${key}` : key });
  }

  next(): void {
    if (!this.#next) return;
    const cursors = [...ownState(), this.query.cursor ?? ''];
    setQuery({ cursor: this.#next, page: String(this.page + 1) }, { cursors });
  }

  /** Back one page where this tab knows it; a shared link goes to the first page. */
  previous(): void {
    const cursors = ownState();
    const cursor = cursors.at(-1) ?? '';
    const page = cursor && this.page > 2 ? String(this.page - 1) : null;
    setQuery({ cursor: cursor || null, page }, { cursors: cursors.slice(0, -1) });
  }
}
