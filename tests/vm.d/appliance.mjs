// What an administrator does with a fresh appliance, over its public interfaces.
//
// Owns: the set-up code from the screen, the API calls of the first minutes.
// Must not know: how the machine is run.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { until } from './machine.mjs';

const PASSWORD = 'seven-herons-at-dusk-4711';

function expect(reply, status, what) {
  if (reply.status !== status) throw new Error(`${what}: ${reply.status} ${reply.text}`);
  return reply.json;
}

/** The code that the console shows until the set-up is done. */
export function codeOn(screen) {
  const found = screen.match(/[Ss]et-up code[^A-Za-z0-9]+([A-Z0-9]{3,}(?:-[A-Z0-9]{3,})+)/);
  return found?.[1];
}

/** Completes the set-up with the code from the serial console, and answers a session. */
export async function setUp(machine) {
  const code = await until('the set-up code on the console', 120, () => codeOn(machine.serial()));
  const body = { code, admin: { email: 'root@vm.example.com', name: 'Root', password: PASSWORD }, bearer: true };
  const reply = await machine.request('POST', '/v1/setup', { body });
  if (![200, 201].includes(reply.status)) throw new Error(`set-up: ${reply.status} ${reply.text}`);
  const system = new Session(machine, reply.json);
  const admin = { email: 'admin@vm.example.com', name: 'Ada Lindgren', password: PASSWORD };
  expect(await system.call('POST', '/v1/tenants', { name: 'Works', slug: 'works', admin }), 201, 'a tenant');
  return system;
}

export class Session {
  constructor(machine, tokens) {
    this.machine = machine;
    this.token = tokens.tokens?.accessToken;
    if (!this.token) throw new Error(`no token in an answer with ${Object.keys(tokens)}`);
  }

  static async begin(machine, email, scope) {
    const body = { email, password: PASSWORD, bearer: true, ...(scope ? { scope } : {}) };
    return new Session(machine, expect(await machine.request('POST', '/v1/auth/login', { body }), 200, `login of ${email}`));
  }

  static tenant(machine) {
    return Session.begin(machine, 'admin@vm.example.com');
  }

  static system(machine) {
    return Session.begin(machine, 'root@vm.example.com', 'system');
  }

  call(method, path, body, more = {}) {
    const key = method === 'POST' ? { 'idempotency-key': crypto.randomUUID() } : {};
    return this.machine.request(method, path, {
      body, ...more, headers: { authorization: `Bearer ${this.token}`, ...key, ...more.headers },
    });
  }

  async get(path) {
    return expect(await this.call('GET', path), 200, path);
  }
}

/** A cluster whose agent comes from outside, over the bus; it stays after the simulation. */
export async function importCluster(machine, binary, ca) {
  const session = await Session.tenant(machine);
  const key = expect(await session.call('POST', '/v1/api-keys', { name: 'simulation' }), 201, 'an API key').secret;
  const simulation = spawn(
    binary,
    ['simulate', '--url', `https://127.0.0.1:${machine.port}`, '--ca', ca, '--clusters', '1', '--degraded-percent', '0', '--prefix', 'plant'],
    { stdio: ['ignore', 'ignore', 'pipe'], env: { PATH: process.env.PATH, PALISADE_TOKEN: key } },
  );
  let said = '';
  simulation.stderr.on('data', (chunk) => (said += chunk));
  try {
    await until('a healthy cluster', 180, async () => {
      if (simulation.exitCode !== null) throw new Error(`the simulation has ended: ${said}`);
      const { items } = await session.get('/v1/clusters');
      return items.some((cluster) => cluster.phase === 'healthy');
    }, 2000);
  } finally {
    const ended = once(simulation, 'exit');
    simulation.kill('SIGTERM');
    await ended;
  }
}
