// One fault after the other under load, and what came of it.
//
// Owns: the order of a trial, comparing what was acknowledged with what is there, the table.
// Must not know: what an operation or a fault is.
import fs from 'node:fs';
import path from 'node:path';
import { FAULTS, GOALS } from './faults.mjs';
import { Load } from './load.mjs';
import { percentile, seconds, sleep, until } from './tools.mjs';

/** Smaller numbers were used before there was a cluster. */
const FIRST = 1000;
const STEADY = 4000;
/** How long a fault lasts: until writes are back and for this long, or as long as this at most. */
const AND_ON = 5000;
const MOST = 60_000;
/** How long a cluster has to be whole again. Seconds. */
const WHOLE = 240;

export class Trials {
  constructor({ cluster, work, trials, fleet }) {
    Object.assign(this, { cluster, work, trials, fleet, next: FIRST, acknowledged: new Map(), results: [] });
  }

  /** Runs these faults; whether all was well. */
  async run(names) {
    for (const name of names) {
      for (let trial = 1; trial <= this.trials; trial += 1) {
        let result;
        try {
          result = await this.trial(name, trial);
        } catch (error) {
          result = { name, trial, failure: error.message };
        }
        this.results.push(result);
        console.log(`    ${name} ${trial}: ${line(result)}`);
        if (result.failure) {
          // What a broken cluster says of the next fault is worth nothing.
          if (await this.mended()) break;
          console.log('    the cluster does not come back: nothing else is tried');
          this.table(names.slice(0, names.indexOf(name) + 1));
          return false;
        }
      }
    }
    const good = this.table(names);
    // A later fault may have undone what an earlier one had left whole.
    try {
      const { lost, twice, complaints } = await this.compare(this.acknowledged, true);
      console.log(`\nin the end: ${this.acknowledged.size} acknowledged, ${lost} lost, ${twice} twice${complaints.map((complaint) => `; ${complaint}`).join('')}`);
      return good && lost + twice + complaints.length === 0;
    } catch (error) {
      console.log(`\nin the end nothing can be compared: ${error.message}`);
      return false;
    }
  }

  /** Takes every fault away, whatever was left of a trial; whether the cluster is whole after that. */
  async mended() {
    for (const node of this.cluster.nodes) {
      node.empty();
      if (!node.runs) await this.cluster.boot(node);
      await node.heal();
      await node.hear().catch(() => {}); // it hears
      if (node.shift !== 0) await node.shiftClock(0);
    }
    return until('the cluster is whole', WHOLE, () => this.cluster.whole()).catch(() => false);
  }

  async trial(name, trial) {
    const { cluster } = this;
    const fault = FAULTS[name];
    await until('the cluster is whole', WHOLE, () => cluster.whole());
    const primary = await until('a primary', 30, () => cluster.leader());
    await cluster.begin(`${name}-${trial}`);
    const others = cluster.nodes.filter((node) => node !== primary);
    const standby = others[trial % others.length];
    const load = new Load(cluster, path.join(this.work, `journal-${name}-${trial}.jsonl`), this.next);
    let whole;
    try {
      await sleep(STEADY);
      const begun = Date.now();
      const heal = await fault.inject({ cluster, primary, standby, trial });
      await this.pause(load, begun);
      const healed = Date.now();
      await heal();
      try {
        await until('the cluster is whole again', WHOLE, () => cluster.whole());
      } catch (error) {
        throw new Error(`${error.message}; ${await cluster.told()}`);
      }
      whole = Date.now() - healed;
      await sleep(STEADY);
    } finally {
      await load.stop();
      this.next = load.next;
      for (const number of load.acknowledged.keys()) this.acknowledged.set(number, true);
    }
    const found = await this.compare(load.acknowledged);
    return {
      name, trial, whole, ...found, primary: primary.name, acknowledged: load.acknowledged.size, open: load.open, twice: found.twice + load.again,
      writes: load.gap('write'), reads: load.gap(...cluster.reads), ofReads: Object.fromEntries(cluster.reads.map((kind) => [kind, load.gap(kind)])),
      writeWait: load.wait('write'), readWait: load.wait(...cluster.reads), replayed: load.replayed, agents: await this.fleet?.connected(),
    };
  }

  /** The fault lasts until writes have been back for a while. */
  async pause(load, begun) {
    let back;
    while (Date.now() - begun < MOST) {
      await sleep(200);
      // What was on its way when the fault came is no sign of life.
      if (load.writesSince(begun + 1000)) back ??= Date.now();
      if (back && Date.now() - back > AND_ON) return;
    }
  }

  /** What was acknowledged, against what each node has; `all` for every trial together. */
  async compare(acknowledged, all = false) {
    const complaints = [];
    let [lost, twice] = [0, 0];
    for (const node of this.cluster.nodes) {
      let rows;
      const missing = () => [...acknowledged.keys()].filter((number) => !rows.has(number));
      // A standby may be some moments behind.
      for (let tries = 0; tries < 20; tries += 1) {
        rows = await until(`the rows of ${node.name}`, 30, () => this.cluster.rows(node, all));
        if (missing().length === 0) break;
        await sleep(500);
      }
      const gone = missing();
      if (gone.length > 0) complaints.push(`${node.name} has lost ${gone.slice(0, 10).join(' ')}${gone.length > 10 ? ' …' : ''}`);
      lost = Math.max(lost, gone.length);
      twice = Math.max(twice, [...rows.values()].filter((count) => count > 1).length);
    }
    complaints.push(...(await this.cluster.complaints()));
    return { lost, twice, complaints };
  }

  table(names) {
    fs.writeFileSync(path.join(this.work, 'results.json'), JSON.stringify(this.results, null, 1));
    const head = ['fault', 'trials', 'acknowledged', 'lost', 'twice', 'no writes p50/p95/max s', 'no reads p50/p95/max s', 'whole again p50/max s', 'verdict'];
    const rows = names.map((name) => {
      const results = this.results.filter((result) => result.name === name);
      const good = results.filter(({ failure }) => !failure);
      const sum = (key) => good.reduce((all, result) => all + result[key], 0);
      const of = (key, ...percents) => (good.length === 0 ? '-' : percents.map((percent) => seconds(percentile(good.map((result) => result[key]), percent))).join(' / '));
      const wrong = verdict(name, results);
      return [FAULTS[name].what, results.length, sum('acknowledged'), sum('lost'), sum('twice'), of('writes', 50, 95, 100), of('reads', 50, 95, 100), of('whole', 50, 100), wrong.join('; ') || 'good'];
    });
    const all = [head, ...rows].map((row) => row.map(String));
    const widths = head.map((_, column) => Math.max(...all.map((row) => row[column].length)));
    console.log('');
    for (const row of all) console.log(row.map((cell, column) => cell.padEnd(widths[column])).join('  ').trimEnd());
    for (const { name, trial, complaints = [] } of this.results) for (const complaint of complaints) console.log(`${name} ${trial}: ${complaint}`);
    return names.every((name) => verdict(name, this.results.filter((result) => result.name === name)).length === 0);
  }
}

/** What is wrong with the trials of a fault. */
function verdict(name, results) {
  const goals = { ...GOALS, ...FAULTS[name].goals };
  const wrong = results.filter(({ failure }) => failure).map(({ failure }) => failure);
  const good = results.filter(({ failure }) => !failure);
  const some = (test, what) => good.some(test) && wrong.push(what);
  some(({ lost }) => lost > 0, 'lost what was acknowledged');
  some(({ twice }) => twice > 0, 'did something twice');
  some(({ complaints }) => complaints.length > 0, 'the nodes disagree');
  some(({ open }) => open > 0, 'an operation was never answered');
  some(({ writes }) => writes > goals.writes * 1000, `no writes for more than ${goals.writes} s`);
  some(({ reads }) => reads > goals.reads * 1000, `no reads for more than ${goals.reads} s`);
  if (good.length > 0 && percentile(good.map(({ writes }) => writes), 95) > goals.writesMostly * 1000) wrong.push(`p95 without writes above ${goals.writesMostly} s`);
  return wrong;
}

function line(result) {
  if (result.failure) return `FAILED: ${result.failure}`;
  const { primary, acknowledged, replayed, lost, twice, writes, ofReads, writeWait, readWait, whole, agents } = result;
  const reads = Object.entries(ofReads).map(([kind, gap]) => `${kind} ${seconds(gap)} s`);
  return `${primary} led, ${acknowledged} acknowledged (${replayed} once more), ${lost} lost, ${twice} twice, no writes for ${seconds(writes)} s (one client ${
    seconds(writeWait)} s), no ${reads.join(', no ')} (one client ${seconds(readWait)} s), whole ${seconds(whole)} s after it was mended${agents === undefined ? '' : `, ${agents}`}`;
}
