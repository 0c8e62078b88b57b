// Clients that write numbered operations and read, all the time, and what they were promised.
//
// Owns: the retry loop, the journal of acknowledgements, the pauses between them.
// Must not know: what an operation is, or what is broken meanwhile.
import fs from 'node:fs';
import { sleep } from './tools.mjs';

const CLIENTS = 3;
const BETWEEN = { write: 150, read: 100 };
/** What a client that got no advice waits before it tries again. */
const PATIENCE = 500;
/** When nobody waits for an operation any more, it is neither acknowledged nor lost. */
const GIVE_UP = 90_000;

export class Load {
  /** `cluster.write(number, node)` and `cluster.read(number, node)` answer `{ done, after, why, twice }`. */
  constructor(cluster, journal, first) {
    Object.assign(this, { cluster, next: first, first, acknowledged: new Map(), times: { write: [], read: [] }, longest: { write: 0, read: 0 }, open: 0, again: 0 });
    this.journal = fs.openSync(journal, 'w');
    this.begun = Date.now();
    this.clients = [];
    for (let client = 0; client < CLIENTS; client += 1) this.clients.push(this.run('write', client), this.run('read', client));
  }

  note(entry) {
    fs.writeSync(this.journal, `${JSON.stringify({ at: new Date().toISOString(), ...entry })}\n`);
  }

  async run(kind, client) {
    const { nodes } = this.cluster;
    let at = client;
    while (!this.stopping) {
      const number = kind === 'write' ? this.next++ : undefined;
      const begun = Date.now();
      for (let tries = 1; ; tries += 1) {
        const node = nodes[at % nodes.length];
        const { done, after, why, twice } = await this.cluster[kind](number, node).catch((error) => ({ done: false, why: error.message }));
        const now = Date.now();
        if (done) {
          this.times[kind].push(now);
          this.longest[kind] = Math.max(this.longest[kind], now - begun);
          if (kind === 'write') {
            this.acknowledged.set(number, now);
            this.note({ acknowledged: number, by: node.name, tries, ms: now - begun });
          }
          break;
        }
        this.note({ [kind]: number, refused: why, by: node.name, tries });
        // The same operation is known to the cluster, but not as this one.
        if (twice) {
          this.again += 1;
          break;
        }
        if (this.stopping && (kind === 'read' || now - this.stopping > GIVE_UP)) {
          if (kind === 'write') this.open += 1;
          break;
        }
        at += 1;
        await sleep(after ?? PATIENCE);
      }
      await sleep(BETWEEN[kind]);
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

  /** The longest time in which nobody was answered, in milliseconds. */
  gap(kind) {
    const times = [this.begun, ...this.times[kind], this.stopping ?? Date.now()].sort((a, b) => a - b);
    return Math.max(...times.slice(1).map((time, at) => time - times[at]));
  }
}
