// Owns who is signed in: start, silent refresh, expiry, re-login over the page, log-out in every tab.
import { Problem, api, onSessionLost, serverNow } from './api/client.ts';
import type { Context, LoginResult, Me } from './api/types.ts';

const FLAG = 'palisade.session';
const ACTIVITY = 'palisade.activity';
const WARN_SECONDS = 120;
/** So long before its end a token is traded for the next one. */
const REFRESH_SECONDS = 60;

class Session {
  context = $state<Context | null>(null);
  me = $state<Me | null>(null);
  started = $state(false);
  startProblem = $state<Problem | null>(null);
  /** The session ended under an open page: log in again over it. */
  lost = $state(false);
  /** Seconds to the end of the session, while the warning shows; otherwise null. */
  endsIn = $state<number | null>(null);
  /** Whether that end is one that nobody can put off. */
  endsAnyway = $state(false);
  readonly isSystem = $derived(this.me?.tenant.kind === 'system');

  #refreshing: Promise<boolean> | null = null;
  #waiting: ((back: boolean) => void)[] = [];
  #active = 0;
  #nextTry = 0;

  async start(): Promise<void> {
    this.startProblem = null;
    try {
      this.context = await api.auth<Context>('GET', '/context');
      // Without the mark there is no session worth asking for, and no 401 in the browser's log.
      if (this.context.setup === 'done' && read(FLAG) !== null) await this.#resume();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.startProblem = error;
    }
    this.started = true;
  }

  async #resume(): Promise<void> {
    try {
      this.accept(await api.auth<Me>('GET', '/auth/me'));
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 401) throw error;
      if (!(await this.refresh())) write(FLAG, null);
    }
  }

  accept(me: Me): void {
    const other = this.me && (this.me.user.uid !== me.user.uid || this.me.tenant.uid !== me.tenant.uid);
    write(FLAG, me.expiresAt ?? '');
    // Somebody else's page must not stay on the screen.
    if (other) return window.location.reload();
    this.me = me;
    this.lost = false;
    this.endsIn = null;
    this.#settle(true);
  }

  /** Rotates the tokens once, however many callers and tabs ask. False: the session is over. */
  refresh(): Promise<boolean> {
    this.#refreshing ??= this.#rotate().finally(() => (this.#refreshing = null));
    return this.#refreshing;
  }

  async #rotate(): Promise<boolean> {
    const known = this.me?.expiresAt ?? null;
    const work = async (): Promise<boolean> => {
      const shared = read(FLAG);
      if (known && shared && shared !== known && this.me) {
        this.me.expiresAt = shared;
        return true;
      }
      try {
        const answer = await api.auth<LoginResult>('POST', '/auth/refresh', {});
        if (answer.outcome !== 'signedIn') return false;
        this.accept(answer.session);
        return true;
      } catch (error) {
        if (error instanceof Problem && (error.status === 401 || error.status === 403)) return false;
        throw error;
      }
    };
    // A refresh token is good for one use: two tabs that use it at once would end the session.
    return navigator.locks ? navigator.locks.request('palisade-refresh', work) : work();
  }

  /** For the API client: resolves when the caller may try again. */
  async recover(refreshFailed: boolean): Promise<boolean> {
    if (!this.me) return false;
    if (!refreshFailed && !this.lost && (await this.refresh())) return true;
    this.lost = true;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** The user leaves the re-login dialog, or logs out. */
  leave(): void {
    write(FLAG, null);
    this.me = null;
    this.lost = false;
    this.endsIn = null;
    this.#settle(false);
  }

  async logOut(everywhere = false): Promise<void> {
    await api.auth('POST', everywhere ? '/auth/logout-everywhere' : '/auth/logout').catch((error: unknown) => {
      if (!(error instanceof Problem) || error.status !== 401) throw error;
    });
    this.leave();
  }

  #settle(back: boolean): void {
    for (const resolve of this.#waiting.splice(0)) resolve(back);
  }

  watch(): void {
    const active = () => this.#touch();
    window.addEventListener('pointerdown', active, { passive: true });
    window.addEventListener('keydown', active, { passive: true });
    window.addEventListener('storage', (event) => {
      if (event.key === ACTIVITY) this.#active = Math.max(this.#active, Number(event.newValue) || 0);
      if (event.key !== FLAG || !this.me) return;
      if (event.newValue === null) this.leave();
      else this.me.expiresAt = event.newValue;
    });
    setInterval(() => this.#tick(), 1_000);
    active();
  }

  /** Puts the end for want of activity off; the other one stays. */
  async stay(): Promise<boolean> {
    this.#active = 0;
    this.#touch();
    return this.refresh();
  }

  #touch(): void {
    if (serverNow() - this.#active < 5_000) return;
    this.#active = serverNow();
    write(ACTIVITY, String(this.#active));
  }

  #tick(): void {
    if (!this.me || this.lost) return;
    const { expiresAt, sessionEndsAt, idleMinutes } = this.me;
    const now = serverNow();
    const idleEnd = idleMinutes ? this.#active + idleMinutes * 60_000 : Infinity;
    const lastEnd = sessionEndsAt ? Date.parse(sessionEndsAt) : Infinity;
    const left = Math.ceil((Math.min(idleEnd, lastEnd) - now) / 1_000);
    if (left <= 0) return void this.#expire();
    this.endsAnyway = lastEnd <= idleEnd;
    this.endsIn = left <= WARN_SECONDS ? left : null;
    const token = expiresAt ? (Date.parse(expiresAt) - now) / 1_000 : Infinity;
    if (token <= REFRESH_SECONDS && now >= this.#nextTry) {
      this.#nextTry = now + 10_000;
      void this.refresh().catch(() => undefined);
    }
  }

  async #expire(): Promise<void> {
    this.lost = true;
    this.endsIn = null;
    // Nobody was here: what is left of the session on the server ends too.
    await api.auth('POST', '/auth/logout').catch(() => undefined);
  }
}

function read(name: string): string | null {
  try {
    return localStorage.getItem(name);
  } catch {
    return '';
  }
}

function write(name: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, value);
  } catch {
    // Without storage each tab looks after itself.
  }
}

export const session = new Session();
onSessionLost((refreshFailed) => session.recover(refreshFailed));
