// Owns short lists for select boxes (projects, roles, teams …), read once for each page.
import { api } from './api/client.ts';
import type { Named, Page } from './api/types.ts';

class Choices<T extends Named> {
  rows = $state.raw<T[]>([]);
  loaded = $state(false);
  readonly items = $derived(this.rows.map((row) => ({ value: row.uid, label: row.name })));
}

/** Up to 200 by name; an answer that may not be read is an empty list. */
export function choices<T extends Named = Named>(path: string, may: () => boolean): Choices<T> {
  const result = new Choices<T>();
  $effect(() => {
    if (!may()) return void (result.loaded = true);
    api
      .get<Page<T>>(path, { limit: 200 })
      .then(
        (page) => (result.rows = page.items.toSorted((a, b) => a.name.localeCompare(b.name))),
        () => undefined,
      )
      .finally(() => (result.loaded = true));
  });
  return result;
}
