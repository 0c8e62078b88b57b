// The appliance: formed by its own commands, used over its own API.
//
// Owns: how the commands are spelt, what is called with which credentials, what a write is.
// Must not know: how the engines are configured; that the product does.
import fs from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import { spawn } from 'node:child_process';
import { CLIENTS, all } from './node.mjs';
import * as patroni from './patroni.mjs';
import { request } from './https.mjs';
import { ran, seconds, sleep, until } from './tools.mjs';

/** Every command of the product that is used here, and what is read in its answers. */
const COMMANDS = {
  firstBoot: ['node', 'first-boot'],
  begin: ['node', 'init', '--ha'],
  invite: ['node', 'invite'],
  join: (code, address) => ['node', 'join', '--code', code, '--address', address],
  complete: ['node', 'complete'],
  status: ['node', 'status', '-o', 'json'],
  verify: (file) => ['audit', 'verify', file],
};
const CODE = /\b[0-9A-Z]{4}(?:-[0-9A-Z]{4}){3}\b/;
const cluster = (status) => status.cluster ?? {};
const setUpCode = (status) => status.setUp?.open?.code;
/** Whether a node says that all three work together; one that says nothing of it is judged by the rest. */
function available(status) {
  const { phase, quorum, nodes = [] } = cluster(status);
  if (!status.cluster) return true;
  return phase === 'running' && quorum?.present === 3 && nodes.length === 3 && nodes.every(({ ready }) => ready === true);
}
/** How far a node says that it is, in a few words. */
function progress(status) {
  const { phase = 'alone', quorum, progress: way } = cluster(status);
  return [phase, quorum && `${quorum.present} of ${quorum.members} agree`, way && `${way.step} ${way.percent}%`, way?.failure].filter(Boolean).join(' ');
}

const PASSWORD = 'seven-herons-at-dusk-4711';
const ADMIN = { email: 'admin@ha.example.com', name: 'Ada Lindgren', password: PASSWORD };
/** From the last code typed to "highly available", at most. */
const GOAL = 90;
/** How long it is waited for, to tell how far it was. */
const PATIENCE = 300;
/** How often an operator would look whether the steps have failed. */
const AGAIN = 10_000;
/** A client's own patience with one answer. */
const LIMITS = { write: 10, read: 2 };
/** What the first node has before there are others. */
const CLUSTERS = 12;

/** What is read: who one is, by a session, and what is known of the clusters. */
const READS = { sessions: '/v1/auth/me', clusters: '/v1/clusters?limit=5' };

export class Product {
  reads = Object.keys(READS);

  constructor({ nodes, work, binary }) {
    Object.assign(this, { nodes, work, binary });
    this.agents = new Map(nodes.map((node) => [node, new https.Agent({ keepAlive: true })]));
  }

  /** Runs a command of the product on a node. */
  command(node, words, options) {
    return node.palisade([...words, '--root', node.root], options);
  }

  async status(node) {
    return JSON.parse(await this.command(node, COMMANDS.status));
  }

  boot(node) {
    return node.boot(() => this.command(node, COMMANDS.firstBoot));
  }

  /** A node that is in use, and two empty ones, become a cluster. */
  async form() {
    const [first, second, third] = this.nodes;
    for (const node of this.nodes) {
      node.answer({ role: 'standalone', hostname: node.host, ipv4: `${node.address}/24`, gateway: CLIENTS, admin_email: 'root@ha.example.com' });
    }
    await Promise.all(this.nodes.map((node) => this.boot(node)));
    await this.ready(this.nodes, 120);
    await this.setUp(first);
    await this.begin('before');
    for (let number = 0; number < 20; number += 1) {
      const { done, why } = await this.write(number, first);
      if (!done) throw new Error(`a write before there is a cluster: ${why}`);
    }
    const before = await this.rows(first);
    await this.code(first, second, COMMANDS.begin);
    const begun = await this.code(first, third, COMMANDS.invite);
    const again = { next: Date.now() + AGAIN, times: 0 };
    await until('highly available', PATIENCE, async () => {
      const said = await Promise.all(this.nodes.map((node) => this.status(node)));
      if (said.every(available) && (await this.whole())) return true;
      if (Date.now() > again.next) {
        // Refused as long as the steps go on: then they have not failed.
        const refused = await this.command(first, COMMANDS.complete).then(() => false, () => true);
        if (!refused) again.times += 1;
        again.next = Date.now() + AGAIN;
      }
      throw new Error(said.map((one, at) => `${this.nodes[at].name} ${progress(one)}`).join(', '));
    }, 500);
    const took = (Date.now() - begun) / 1000;
    this.formedInTime = took <= GOAL && again.times === 0;
    this.formed = `highly available ${took.toFixed(1)} s after the last code (goal: at most ${GOAL} s)`;
    if (again.times > 0) this.formed += `, but the steps had failed and were run again ${again.times} times`;
    for (const node of this.nodes) {
      const rows = await this.rows(node);
      const missing = [...before.keys()].filter((number) => rows.get(number) !== 1);
      if (missing.length > 0) throw new Error(`${node.name} does not have what the first node had: ${missing.join(' ')}`);
    }
    const complaints = await this.complaints();
    if (complaints.length > 0) throw new Error(complaints.join('; '));
  }

  /** Lets a node in; answers when its code had been typed. */
  async code(first, node, words) {
    const code = CODE.exec(await this.command(first, words, { limit: 120 }))?.[0];
    if (!code) throw new Error(`${first.name} shows no code for ${node.name}`);
    const typed = Date.now();
    await this.command(node, COMMANDS.join(code, first.address), { limit: 120 });
    console.log(`    ${node.name} has joined in ${seconds(Date.now() - typed)} s`);
    return typed;
  }

  async ready(nodes, limit) {
    await all('/readyz', nodes, limit, async (node) => (await this.ask(node, 'GET', '/readyz', { limit: 5 })).status === 200);
  }

  ask(node, method, target, { token, body, limit, headers = {}, agent = this.agents.get(node) } = {}) {
    const own = token ? { authorization: `Bearer ${token}` } : {};
    return request({ host: node.address, method, target, body, limit, agent, headers: { ...own, ...headers } });
  }

  async expect(status, node, method, target, more) {
    const reply = await this.ask(node, method, target, { headers: method === 'POST' ? { 'idempotency-key': crypto.randomUUID() } : {}, ...more });
    if (reply.status !== status) throw new Error(`${node.name}: ${method} ${target}: ${reply.status} ${reply.text}`);
    return reply.json;
  }

  async setUp(node) {
    const code = await until('the set-up code', 60, async () => setUpCode(await this.status(node)));
    const admin = { email: 'root@ha.example.com', name: 'Root', password: PASSWORD };
    const done = await this.ask(node, 'POST', '/v1/setup', { body: { code, admin, bearer: true }, limit: 30 });
    if (![200, 201].includes(done.status)) throw new Error(`set-up: ${done.status} ${done.text}`);
    const token = done.json.tokens.accessToken;
    await this.expect(201, node, 'POST', '/v1/tenants', { token, body: { name: 'Works', slug: 'works', admin: ADMIN }, limit: 30 });
    const session = await this.login(node, ADMIN.email);
    this.key = (await this.expect(201, node, 'POST', '/v1/api-keys', { token: session, body: { name: 'load' } })).secret;
    const simulation = this.simulate(node, CLUSTERS, 'plant', ['--seconds', '12', '--degraded-percent', '0']);
    const { code: verdict, err } = await ran(simulation.words, { limit: 90, environment: simulation.environment });
    if (verdict !== 0) throw new Error(`the simulation: ${err}`);
  }

  /** How agents are simulated that reach one node. */
  simulate(node, clusters, prefix, more) {
    const ca = path.join(this.work, 'ca.pem');
    if (!fs.existsSync(ca)) fs.copyFileSync(node.at('var/lib/palisade/ca.pem'), ca);
    return {
      words: [this.binary, 'simulate', '--url', `https://${node.address}`, '--ca', ca, '--clusters', `${clusters}`, '--prefix', prefix, ...more],
      environment: { PALISADE_TOKEN: this.key },
    };
  }

  async login(node, email, scope) {
    const body = { email, password: PASSWORD, bearer: true, ...(scope ? { scope } : {}) };
    return (await this.expect(200, node, 'POST', '/v1/auth/login', { body, limit: 30, headers: {} })).tokens.accessToken;
  }

  /** A trial begins, or something else whose writes belong together. */
  async begin(label) {
    this.label = label;
    [this.session, this.system] = [await this.login(this.nodes[0], ADMIN.email), await this.login(this.nodes[0], 'root@ha.example.com', 'system')];
  }

  /** A team whose name carries the number. */
  async write(number, node) {
    const name = `op-${this.label}-${number}`;
    const reply = await this.attempt(node, 'POST', '/v1/teams', { token: this.key, body: { name }, limit: LIMITS.write, headers: { 'idempotency-key': name } });
    return { ...reply, done: reply.status === 201, twice: reply.status === 409 };
  }

  async read(kind, node) {
    const reply = await this.attempt(node, 'GET', READS[kind], { token: this.session, limit: LIMITS.read });
    return { ...reply, done: reply.status === 200 };
  }

  async attempt(node, method, target, more) {
    try {
      const { status, headers, text } = await this.ask(node, method, target, more);
      const after = Number(headers['retry-after']);
      const replayed = headers['idempotency-replayed'] === 'true';
      return { status, replayed, after: after > 0 ? after * 1000 : undefined, why: `${method} ${target}: ${status} ${text.slice(0, 200)}` };
    } catch (error) {
      // What lies idle leads nowhere either; what is under way may have better luck.
      this.agents.set(node, new https.Agent({ keepAlive: true }));
      return { why: `${method} ${target}: ${error.message}` };
    }
  }

  /** How often each operation is there, by what this node answers. */
  async rows(node, everything = false) {
    const found = new Map();
    const filter = encodeURIComponent(everything ? 'op-' : `op-${this.label}-`);
    let cursor = '';
    do {
      const page = await this.expect(200, node, 'GET', `/v1/teams?limit=200&q=${filter}${cursor}`, { token: this.key, limit: 30 });
      for (const { name } of page.items) {
        const number = Number(name.slice(name.lastIndexOf('-') + 1));
        found.set(number, (found.get(number) ?? 0) + 1);
      }
      cursor = page.nextCursor ? `&cursor=${encodeURIComponent(page.nextCursor)}` : '';
    } while (cursor);
    return found;
  }

  /** What is wrong with the audit chains: as each node says, as an export proves, and by number. */
  async complaints() {
    const wrong = [];
    for (const node of this.nodes) {
      for (const [scope, token] of [['tenant', this.key], ['system', this.system]]) {
        const chain = await this.expect(200, node, 'GET', '/v1/audit/verify', { token, limit: 60 });
        if (!chain.ok) wrong.push(`${node.name}: the chain of the ${scope} is broken: ${JSON.stringify(chain.firstBad)}`);
        const file = path.join(this.work, `audit-${node.name}-${scope}.jsonl`);
        const exported = await this.ask(node, 'GET', '/v1/audit/export.jsonl', { token, limit: 120 });
        fs.writeFileSync(file, exported.text);
        const { code, err } = await ran([this.binary, ...COMMANDS.verify(file)], { limit: 120 });
        if (exported.status !== 200 || code !== 0) wrong.push(`${node.name}: palisade audit verify of the ${scope}: ${err.trim() || exported.status}`);
      }
      const total = async (target) => (await this.expect(200, node, 'GET', `${target}limit=1`, { token: this.key, limit: 30 })).total;
      const [teams, records] = [await total('/v1/teams?'), await total('/v1/audit?action=team.create&outcome=success&')];
      if (teams !== records) wrong.push(`${node.name}: ${teams} teams, and ${records} records of making one`);
    }
    return wrong;
  }

  /** By Patroni and by each node's own word. */
  async whole() {
    if (!(await patroni.whole(this.nodes))) return false;
    const ready = await Promise.all(this.nodes.map(async (node) => (await this.attempt(node, 'GET', '/readyz', { limit: 5 })).status === 200));
    return ready.every(Boolean);
  }

  async told() {
    const ready = await Promise.all(this.nodes.map(async (node) => `${node.name} ${(await this.attempt(node, 'GET', '/readyz', { limit: 5 })).status ?? 'silent'}`));
    return `${await patroni.told(this.nodes)}; /readyz: ${ready.join(', ')}`;
  }

  leader() {
    return patroni.leader(this.nodes);
  }
}

/** Simulated agents, a third of them at each node; there is no address here that moves. */
export class Fleet {
  static async start(product, agents) {
    const fleet = new Fleet();
    fleet.agents = agents;
    fleet.parts = product.nodes.map((node, at) => {
      const clusters = Math.floor((agents + at) / product.nodes.length);
      const { words, environment } = product.simulate(node, clusters, `fleet${node.number}`, []);
      const log = path.join(product.work, `fleet-${node.name}.log`);
      const to = fs.openSync(log, 'w');
      const child = spawn(words[0], words.slice(1), { env: { PATH: '/usr/bin:/bin', ...environment }, stdio: ['ignore', to, to] });
      fs.closeSync(to);
      return { log, child };
    });
    await until('all agents connected', 60 + agents, async () => {
      for (const { log, child } of fleet.parts) if (child.exitCode !== null) throw new Error(fs.readFileSync(log, 'utf8').trim().split('\n').at(-1));
      return fleet.count() === agents;
    }, 1000);
    console.log(`    ${fleet.count()} agents are connected`);
    return fleet;
  }

  /** How many are connected, by what was said last; a line comes every ten seconds. */
  count() {
    const last = ({ log }) => [...fs.readFileSync(log, 'utf8').matchAll(/(\d+) of \d+ connected/g)].at(-1)?.[1] ?? 0;
    return this.parts.map(last).map(Number).reduce((sum, one) => sum + one, 0);
  }

  /** Waits for those that are away, and tells how many are there. */
  async connected() {
    const begun = Date.now();
    await sleep(11_000); // what was said before counts no more
    await until('all agents', 60, async () => this.count() === this.agents, 1000).catch(() => {});
    return `${this.count()} of ${this.agents} agents connected after ${seconds(Date.now() - begun)} s more`;
  }
}
