// Everything that is broken on purpose, one fault at a time.
//
// Owns: what a fault does, and how it is mended.
// Must not know: how the cluster is asked, or what it has promised.
import { UNITS } from './node.mjs';
import { sleep } from './tools.mjs';

/** How long writes may pause at most, and in 95 of 100 trials; how long reads may. Seconds. */
export const GOALS = { writes: 30, writesMostly: 25, reads: 5 };
const nothing = async () => {};

const one = (what, program, more = {}) => ({
  what: `SIGKILL of ${what} alone, on the primary`,
  needs: 'product' in more ? 'product' : undefined,
  async inject({ primary }) {
    await program(primary);
    return nothing;
  },
});

const power = (of) => async ({ cluster, [of]: node }) => {
  await node.kill();
  return () => cluster.boot(node);
};

const link = (of) => async ({ [of]: node }) => {
  await node.cut();
  return () => node.heal();
};

const deaf = (direction) => async ({ primary }) => {
  await primary.deafen(direction);
  return () => primary.hear();
};

export const FAULTS = {
  primary: { what: "SIGKILL of the primary's whole node", inject: power('primary') },
  standby: { what: "SIGKILL of a standby's whole node", inject: power('standby') },
  etcd: one('etcd', (node) => node.killUnit(UNITS.etcd)),
  patroni: one('Patroni', (node) => node.killUnit(UNITS.patroni)),
  postgres: one('PostgreSQL', (node) => node.killProgram('postgres')),
  broker: one('nats-server', (node) => node.killProgram('nats-server'), { product: true }),
  serve: one('palisade serve', (node) => node.killUnit(UNITS.serve), { product: true }),
  daemon: one('the node daemon', (node) => node.killUnit(UNITS.daemon), { product: true }),
  'cut-primary': { what: "the primary's link cut, then healed", inject: link('primary') },
  'cut-standby': { what: "a standby's link cut, then healed", inject: link('standby') },
  mute: { what: 'what the primary sends is lost, and then not', inject: deaf('ingress') },
  deaf: { what: 'what the primary is sent is lost, and then not', inject: deaf('egress') },
  all: {
    what: 'SIGKILL of all three nodes at once, and power on',
    // Nobody is there to be read from.
    goals: { reads: GOALS.writes },
    async inject({ cluster }) {
      await Promise.all(cluster.nodes.map((node) => node.kill()));
      await sleep(1000);
      await Promise.all(cluster.nodes.map((node) => cluster.boot(node)));
      return nothing;
    },
  },
  clock: {
    what: 'the clock of one node is off by an hour, forwards and backwards in turn',
    async inject({ primary, standby, trial }) {
      const node = trial % 2 ? primary : standby;
      await node.shiftClock(Math.ceil(trial / 2) % 2 ? 3600 : -3600);
      return () => node.shiftClock(0);
    },
  },
  disk: {
    what: "the disk under the primary's PostgreSQL is full",
    async inject({ primary }) {
      await primary.fill();
      return async () => primary.empty();
    },
  },
};
