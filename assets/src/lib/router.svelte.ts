// Owns the address bar: current path and query, navigation, and link clicks.

class Location {
  path = $state(window.location.pathname);
  search = $state(window.location.search);
  /** Counts page changes (not query changes), so that focus can follow them. */
  visits = $state(0);
  readonly query = $derived(new URLSearchParams(this.search));
}

export const location = new Location();

let last = window.location.pathname;

function read(): void {
  location.path = window.location.pathname;
  location.search = window.location.search;
  if (location.path !== last) {
    last = location.path;
    location.visits += 1;
  }
}

export function navigate(href: string, { replace = false, state = null as unknown } = {}): void {
  if (replace) history.replaceState(state, '', href);
  else history.pushState(state, '', href);
  read();
  if (!replace && !href.startsWith('?')) window.scrollTo(0, 0);
}

/** Changes some query parameters of this page; empty values leave the address. */
export function setQuery(change: Record<string, string | null>, state: unknown = null, replace = false): void {
  const query = new URLSearchParams(window.location.search);
  for (const [name, value] of Object.entries(change)) {
    if (value) query.set(name, value);
    else query.delete(name);
  }
  const text = query.toString();
  navigate(text ? `?${text}` : window.location.pathname, { state, replace });
}

export interface Match {
  params: Record<string, string>;
}

/** Matches "/clusters/:uid" against a path. */
export function match(pattern: string, path: string): Match | null {
  const wanted = pattern.split('/');
  const given = path.replace(/(.)\/$/, '$1').split('/');
  if (wanted.length !== given.length) return null;
  const params: Record<string, string> = {};
  for (const [index, part] of wanted.entries()) {
    const value = given[index] ?? '';
    if (part.startsWith(':')) params[part.slice(1)] = decodeURIComponent(value);
    else if (part !== value) return null;
  }
  return { params };
}

window.addEventListener('popstate', read);
document.addEventListener('click', (event) => {
  if (event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = (event.target as Element | null)?.closest?.('a');
  if (!link || link.target || link.hasAttribute('download') || link.origin !== window.location.origin) return;
  // Answers of the API and files are no pages, and a place on a page is the browser's business.
  if (link.pathname.startsWith('/v1/') || link.pathname.includes('.') || link.hash) return;
  event.preventDefault();
  if (link.href !== window.location.href) navigate(link.pathname + link.search);
});

/** True once for an address that asks for a dialog ("?create=1"); the parameter leaves the address. */
export function takeQuery(name: string): boolean {
  if (!new URLSearchParams(window.location.search).has(name)) return false;
  setQuery({ [name]: null }, history.state, true);
  return true;
}
