// Clients that write numbered operations and read, all the time, and what they were promised.
//
// Owns: the retry loop, the journal of acknowledgements, the pauses between them.
// Must not know: what an operation is, or what is broken meanwhile.
import fs from 'node:fs';
import { sleep } from './tools.mjs';

const CLIENTS = 3;
const BETWEEN = { write: 150, read: 150 };
/** What a client that got no advice waits before it tries again. */
const PATIENCE = 500;
/** When nobody waits for an operation any more, it is neither acknowledged nor lost. */
const GIVE_UP = 90_000;

export class Load {
  /**
   * `cluster.write(number, node)`, and `cluster.read(kind, node)` for each of `cluster.reads`,
   * answer `{ done, after, why, twice, replayed }`.
   */
  constructor(cluster, journal, first) {
    const kinds = ['write', ...cluster.reads];
    const of = (value) => Object.fromEntries(kinds.map((kind) => [kind, value()]));
    Object.assign(this, { cluster, next: first, acknowledged: new Map(), times: of(() => []), longest: of(() => 0), open: 0, again: 0, replayed: 0 });
    this.journal = fs.openSync(journal, 'w');
    this.begun = Date.now();
    this.clients = [];
    for (let client = 0; client < CLIENTS; client += 1) for (const kind of kinds) this.clients.push(this.run(kind, client));
  }

  note(entry) {
    fs.writeSync(this.journal, `${JSON.stringify({ at: new Date().toISOString(), ...entry })}\n`);
  }

  async run(kind, client) {
    const { cluster } = this;
    const writes = kind === 'write';
    let at = client;
    while (!this.stopping) {
      const what = writes ? this.next++ : kind;
      const begun = Date.now();
      for (let tries = 1; ; tries += 1) {
        const node = cluster.nodes[at % cluster.nodes.length];
        const asked = writes ? cluster.write(what, node) : cluster.read(kind, node);
        const { done, after, why, twice, replayed } = await asked.catch((error) => ({ done: false, why: error.message }));
        const now = Date.now();
        if (done) {
          this.times[kind].push(now);
          this.longest[kind] = Math.max(this.longest[kind], now - begun);
          if (replayed) this.replayed += 1;
          if (writes) {
            this.acknowledged.set(what, now);
            this.note({ acknowledged: what, by: node.name, tries, ms: now - begun, replayed });
          }
          break;
        }
        this.note({ [writes ? 'write' : 'read']: what, refused: why, by: node.name, tries });
        // The same operation is known to the cluster, but not as this one.
        if (twice) {
          this.again += 1;
          break;
        }
        if (this.stopping && (!writes || now - this.stopping > GIVE_UP)) {
          if (writes) this.open += 1;
          break;
        }
        at += 1;
        await sleep(after ?? PATIENCE);
      }
      await sleep(BETWEEN[writes ? 'write' : 'read']);
    }
  }

  /** Whether something was acknowledged after this moment. */
  writesSince(moment) {
    return (this.times.write.at(-1) ?? 0) > moment;
  }

  /** Ends when every operation that was begun is acknowledged, or given up. */
  async stop() {
    this.stopping = Date.now();
    await Promise.all(this.clients);
    fs.closeSync(this.journal);
  }

  /** The longest time in which nobody was answered, in milliseconds; of several kinds, the worst. */
  gap(...kinds) {
    return Math.max(...kinds.map((kind) => {
      const times = [this.begun, ...this.times[kind], this.stopping ?? Date.now()].sort((a, b) => a - b);
      return Math.max(...times.slice(1).map((time, at) => time - times[at]));
    }));
  }

  /** The longest time that one client waited for one answer. */
  wait(...kinds) {
    return Math.max(...kinds.map((kind) => this.longest[kind]));
  }
}
