// The command line of tests/ha; this process is the first of a machine of its own.
import fs from 'node:fs';
import path from 'node:path';
import { Engines } from './engines.mjs';
import { FAULTS } from './faults.mjs';
import { Node, openNetwork } from './node.mjs';
import { Fleet, Product } from './product.mjs';
import { Trials } from './trials.mjs';
import { must, seconds } from './tools.mjs';

const { HA_WORK: base, HA_BINARY: binary } = process.env;
// Enough for the data, and filled within a second.
const SMALL_DISK = 1500;
const IMAGE_POSTGRES = '17';

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(130));

function usage(why) {
  console.error(`tests/ha: ${why}: it takes form, faults, engines, all or list, names of faults, --trials N, --agents N`);
  process.exit(2);
}

function given() {
  const options = { mode: 'all', names: [], trials: 5, agents: 0 };
  const words = process.argv.slice(2);
  if (words.length > 0 && !words[0].startsWith('-')) options.mode = words.shift();
  if (!['form', 'faults', 'engines', 'all', 'list'].includes(options.mode)) usage(`there is no ${options.mode}`);
  while (words.length > 0) {
    const word = words.shift();
    const number = /^--(trials|agents)$/.exec(word)?.[1];
    if (number) {
      options[number] = Number(words.shift());
      if (!Number.isInteger(options[number])) usage(`${word} needs a number`);
    } else if (FAULTS[word]) options.names.push(word);
    else usage(`there is no fault ${word}`);
  }
  const known = Object.keys(FAULTS).filter((name) => options.mode !== 'engines' || FAULTS[name].needs !== 'product');
  if (options.names.length === 0) options.names = known;
  const missing = options.names.find((name) => !known.includes(name));
  if (missing) usage(`the engines alone have no ${missing}`);
  return options;
}

/** What the users of the nodes can reach: a cache in root's home is not among it. */
async function programs(work, product) {
  const place = path.join(work, 'programs');
  fs.mkdirSync(path.join(place, 'patroni'), { recursive: true });
  await must(['mount', '--bind', path.dirname(process.env.PATRONI), path.join(place, 'patroni')]);
  if (product) fs.copyFileSync(binary, path.join(place, 'palisade'));
  fs.copyFileSync(path.join(base, 'shifted-clock'), path.join(place, 'shifted-clock'));
  fs.chmodSync(path.join(place, 'shifted-clock'), 0o755);
  try {
    await must(['setpriv', '--reuid', '64900', '--regid', '64900', '--clear-groups', 'test', '-x', path.join(place, 'shifted-clock')]);
  } catch {
    throw new Error(`the users of the nodes cannot reach ${work}: set CARGO_TARGET_DIR to a directory that everybody may enter`);
  }
  if (path.join(work, 'n1/run/palisade-node/node.new/sock').length > 100) throw new Error(`${work} is too long for the name of a socket: set CARGO_TARGET_DIR to a shorter one`);
  await postgresOfImage(path.join(work, 'postgresql'));
  return {
    palisade: product ? path.join(place, 'palisade') : undefined, etcd: process.env.ETCD, patroni: path.join(place, 'patroni'),
    postgres: process.env.PG_BIN, shiftedClock: path.join(place, 'shifted-clock'),
  };
}

/** The image has PostgreSQL in a place with a number; what this machine has is put there too. */
async function postgresOfImage(beside) {
  const [, all, version] = /^(.*)\/(\d+)\/bin$/.exec(process.env.PG_BIN);
  if (version === IMAGE_POSTGRES) return;
  fs.mkdirSync(beside);
  await must(['mount', '--bind', all, beside]);
  await must(['mount', '-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', all]);
  fs.mkdirSync(path.join(all, version));
  await must(['mount', '--bind', path.join(beside, version), path.join(all, version)]);
  fs.symlinkSync(version, path.join(all, IMAGE_POSTGRES));
}

async function main() {
  const { mode, names, trials, agents } = given();
  if (mode === 'list') {
    for (const name of names) console.log(`${name.padEnd(12)} ${FAULTS[name].what}`);
    return true;
  }
  const engines = mode === 'engines';
  const work = path.join(base, engines ? 'engines' : 'cluster');
  fs.rmSync(work, { recursive: true, force: true });
  fs.mkdirSync(work, { recursive: true });
  await openNetwork();
  const found = await programs(work, !engines);
  const nodes = [1, 2, 3].map((number) => new Node({ number, work, programs: found }));
  for (const node of nodes) {
    node.install();
    await node.smallDisk(SMALL_DISK);
  }
  const cluster = engines ? new Engines({ nodes, work }) : new Product({ nodes, work, binary: found.palisade });
  console.log(`==> form, logs below ${work}`);
  const begun = Date.now();
  try {
    await cluster.form();
  } catch (error) {
    console.log(`    FAILED: ${error.message}`);
    for (const node of nodes) for (const unit of fs.readdirSync(node.at('var/log'))) console.log(`\n--- ${node.name} ${unit}\n${node.log(unit.replace(/\.log$/, ''))}`);
    return false;
  }
  console.log(`    ${cluster.formed ?? `formed in ${seconds(Date.now() - begun)} s`}; ${await cluster.told()}`);
  if (mode === 'form') return cluster.formedInTime !== false;
  let [fleet, connected] = [undefined, true];
  if (agents > 0) {
    fleet = await Fleet.start(cluster, agents).catch((error) => console.log(`    FAILED, and there are no agents: ${error.message}`));
    connected = fleet !== undefined;
  }
  console.log(`==> faults, ${trials} trials each`);
  return (await new Trials({ cluster, work, trials, fleet }).run(names)) && connected && cluster.formedInTime !== false;
}

main().then(
  (good) => process.exit(good ? 0 : 1),
  (error) => {
    console.error(`tests/ha: ${error.stack}`);
    process.exit(1);
  },
);
