// One node: its directory, its namespaces, its programs, its link, its power.
//
// Owns: the layout below the node's root, starting and killing, the network between the nodes.
// Must not know: what the programs say to each other, or what is tested.
import fs from 'node:fs';
import path from 'node:path';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { must, ran, until } from './tools.mjs';

const HERE = import.meta.dirname;
const BRIDGE = 'ha';
/** Where the clients are. */
export const CLIENTS = '10.77.0.1';
export const NETWORK = '10.77.0.0/24';
// Of nobody on this machine.
const PALISADE = 64901;
const NODE_GROUP = 64904;
const CONSOLE = 64902;

export const UNITS = {
  daemon: 'palisade-node.service', serve: 'palisade.service', etcd: 'palisade-etcd.service',
  patroni: 'palisade-patroni.service', address: 'keepalived.service',
};
/** What the image starts at every boot; first boot itself starts the engines of a cluster that runs. */
const ENABLED = [UNITS.daemon, UNITS.serve, UNITS.address];
const NOTHING = ['hostnamectl', 'networkctl', 'udevadm', 'apparmor_parser'];

/** The place of the clients, and what all nodes are connected to. */
export async function openNetwork() {
  await must(['ip', 'link', 'set', 'lo', 'up']);
  await must(['ip', 'link', 'add', BRIDGE, 'type', 'bridge']);
  await must(['ip', 'addr', 'add', `${CLIENTS}/24`, 'dev', BRIDGE]);
  await must(['ip', 'link', 'set', BRIDGE, 'up']);
}

/** Numbers of a user whom this machine knows: PostgreSQL starts as nobody else. */
function account(name) {
  const line = fs.readFileSync('/etc/passwd', 'utf8').split('\n').find((one) => one.startsWith(`${name}:`));
  if (!line) throw new Error(`this machine has no user ${name}: tests/peers installs what brings it`);
  const [, , uid, gid] = line.split(':').map(Number);
  return { uid, gid };
}

export class Node {
  /** `programs`: where `palisade` (or nothing), `etcd`, `patroni`, `postgres` and `shiftedClock` are. */
  constructor({ number, work, programs }) {
    Object.assign(this, { number, programs, name: `n${number}`, address: `10.77.0.1${number}`, link: `ha-n${number}` });
    this.root = path.join(work, this.name);
    this.host = `${this.name}.ha.example.com`;
    this.users = { palisade: { uid: PALISADE, gid: PALISADE }, postgres: account('postgres'), etcd: account('etcd') };
    this.shift = 0;
  }

  /** A path of the node, below its root. */
  at(...parts) {
    return path.join(this.root, ...parts);
  }

  /** An empty disk with the image's programs. */
  install() {
    fs.rmSync(this.root, { recursive: true, force: true });
    const { palisade, postgres, etcd } = this.users;
    const directory = (place, mode, owner) => {
      fs.mkdirSync(this.at(place), { recursive: true });
      fs.chmodSync(this.at(place), mode);
      if (owner) fs.chownSync(this.at(place), owner.uid, owner.gid);
    };
    for (const place of ['usr/bin', 'usr/lib/palisade', 'etc/ssl/certs', 'var/log', 'var/lib', 'run']) directory(place, 0o755);
    directory('var/lib/palisade', 0o700, palisade);
    directory('var/lib/palisade-node', 0o711);
    directory('var/lib/palisade-node/update', 0o700);
    directory('var/lib/postgresql', 0o750, postgres);
    directory('var/lib/etcd', 0o700, etcd);
    const user = (name, { uid, gid }, home) => `${name}:x:${uid}:${gid}::${home}:/usr/sbin/nologin\n`;
    fs.writeFileSync(this.at('etc/passwd'), `root:x:0:0:root:/root:/bin/sh\n${user('palisade', palisade, '/var/lib/palisade')}${
      user('palisade-console', { uid: CONSOLE, gid: CONSOLE }, '/')}${user('postgres', postgres, '/var/lib/postgresql')}${user('etcd', etcd, '/var/lib/etcd')}`);
    const group = (name, gid) => `${name}:x:${gid}:\n`;
    fs.writeFileSync(this.at('etc/group'), `root:x:0:\n${group('palisade', PALISADE)}${group('palisade-console', CONSOLE)}${
      group('postgres', postgres.gid)}${group('etcd', etcd.gid)}${group('palisade-node', NODE_GROUP)}`);
    fs.copyFileSync('/etc/ssl/certs/ca-certificates.crt', this.at('etc/ssl/certs/ca-certificates.crt'));
    // Each finds the node's root by its own place.
    const stand = (name, from) => fs.copyFileSync(path.join(HERE, from), this.at('usr/bin', name));
    for (const name of ['systemctl', 'systemd-run', 'journalctl', 'vmtoolsd', 'systemd-detect-virt']) stand(name, name);
    for (const name of NOTHING) stand(name, 'nothing');
    if (this.programs.palisade) fs.symlinkSync(this.programs.palisade, this.at('usr/bin/palisade'));
    // The image has one version of PostgreSQL, in a place that is known.
    directory('usr/lib/postgresql/17', 0o755);
    fs.symlinkSync(this.programs.postgres, this.at('usr/lib/postgresql/17/bin'));
    // `palisade node first-boot` looks here before it looks among the machine's own programs.
    fs.symlinkSync('usr/bin', this.at('programs'));
    this.settings();
  }

  /** What the stand-ins know of this node. */
  settings() {
    const wrap = this.shift === 0 ? '' : `${this.programs.shiftedClock} ${this.shift}`;
    fs.writeFileSync(this.at('etc/ha'), `patroni=${this.programs.patroni}\netcd=${this.programs.etcd}\nwrap=(${wrap})\n`);
  }

  /** The operator's answers, as the tools of VMware hand them over. */
  answer(properties) {
    const namespace = 'http://schemas.dmtf.org/ovf/environment/1';
    const lines = Object.entries(properties).map(([key, value]) => `    <Property oe:key="${key}" oe:value="${value}"/>\n`);
    fs.writeFileSync(this.at('etc/ovf-env.xml'), `<?xml version="1.0" encoding="UTF-8"?>\n<Environment xmlns="${namespace}" xmlns:oe="${
      namespace}" oe:id="palisade">\n  <PropertySection>\n${lines.join('')}  </PropertySection>\n</Environment>\n`);
  }

  get runs() {
    return this.process !== undefined;
  }

  /** Power on, with what the image does at every boot; `first` stands for its first-boot service. */
  async boot(first, units = ENABLED) {
    fs.rmSync(this.at('run'), { recursive: true, force: true });
    fs.mkdirSync(this.at('run/palisade-node/nftables'), { recursive: true });
    // There is a service manager.
    fs.mkdirSync(this.at('run/systemd/system'), { recursive: true });
    fs.mkdirSync(this.at('run/postgresql'));
    fs.chownSync(this.at('run/postgresql'), this.users.postgres.uid, this.users.postgres.gid);
    await this.powerOn();
    await first();
    fs.mkdirSync(this.at('run/units/palisade-first-boot.service'), { recursive: true });
    fs.writeFileSync(this.at('run/units/palisade-first-boot.service/state'), 'active\n');
    await this.systemctl('start', ...units);
  }

  async powerOn() {
    const log = fs.openSync(this.at('var/log/init.log'), 'a');
    const own = ['--net', '--mount', '--uts', '--ipc', '--pid', '--fork', '--kill-child', '--mount-proc'];
    this.process = spawn('unshare', [...own, path.join(HERE, 'init'), this.name], { stdio: ['ignore', 'pipe', log] });
    fs.closeSync(log);
    this.ended = once(this.process, 'exit');
    await Promise.race([once(this.process.stdout, 'data'), this.ended]);
    const { pid } = this.process;
    if (this.process.exitCode !== null) throw new Error(`${this.name} has no namespaces: ${fs.readFileSync(this.at('var/log/init.log'), 'utf8')}`);
    this.init = fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
    await ran(['ip', 'link', 'del', this.link]);
    const peer = ['peer', 'name', 'eth0', 'address', `02:77:00:00:00:1${this.number}`, 'netns', this.init];
    await must(['ip', 'link', 'add', this.link, 'type', 'veth', ...peer]);
    await must(['ip', 'link', 'set', this.link, 'master', BRIDGE, 'up']);
    await this.inside(['ip', 'link', 'set', 'lo', 'up']);
    await this.inside(['ip', 'addr', 'add', `${this.address}/24`, 'dev', 'eth0']);
    await this.inside(['ip', 'link', 'set', 'eth0', 'up']);
  }

  /** Power off without a word: every process of the node is killed at once. */
  async kill() {
    process.kill(Number(this.init), 'SIGKILL');
    await this.ended;
    this.process = undefined;
  }

  /** The words that run a program inside, as root or as one of the node's users. */
  words(words, user) {
    const enter = ['nsenter', '--target', this.init, '--net', '--mount', '--uts', '--ipc', '--pid', '--'];
    if (!user) return [...enter, ...words];
    const { uid, gid } = this.users[user];
    return [...enter, 'setpriv', '--reuid', `${uid}`, '--regid', `${gid}`, '--clear-groups', ...words];
  }

  /** Runs a program inside, which has to succeed. */
  async inside(words, { user, ...options } = {}) {
    try {
      return await must(this.words(words, user), options);
    } catch (error) {
      throw new Error(`${this.name}: ${error.message.replace(/^nsenter .*? -- /, '')}`);
    }
  }

  /** The product's command line. */
  palisade(words, options) {
    return this.inside([this.at('usr/bin/palisade'), ...words], options);
  }

  systemctl(...words) {
    return this.inside([this.at('usr/bin/systemctl'), ...words], { limit: 90 });
  }

  async active(unit) {
    return (await this.systemctl('show', '--property=ActiveState', '--value', unit)).trim() === 'active';
  }

  /** Kills a unit's main process; the service manager starts it again. */
  killUnit(unit) {
    return this.systemctl('kill', '--signal=KILL', unit);
  }

  /** Kills the processes of the node that run this program, whoever started them. */
  async killProgram(program) {
    const found = (await ran(this.words(['pgrep', '-x', program]))).out.trim().split('\n').filter(Boolean);
    if (found.length === 0) throw new Error(`${this.name} runs no ${program}`);
    await this.inside(['kill', '-KILL', ...found]);
  }

  /** Pulls the cable. */
  cut() {
    return must(['ip', 'link', 'set', this.link, 'down']);
  }

  heal() {
    return must(['ip', 'link', 'set', this.link, 'up']);
  }

  /** Loses all that the node sends (`ingress` of the bridge's side) or all that it is sent (`egress`). */
  deafen(direction) {
    const rules = `table netdev ${this.name} {\n chain lost {\n type filter hook ${direction} device "${this.link}" priority 0; policy drop;\n }\n}\n`;
    return must(['nft', '-f', '-'], { input: rules });
  }

  hear() {
    return must(['nft', 'delete', 'table', 'netdev', this.name]);
  }

  /** From the next start on the programs' wall clock is off by so many seconds. */
  async shiftClock(offset) {
    this.shift = offset;
    this.settings();
    await this.systemctl('restart', ...Object.values(UNITS).filter((unit) => fs.existsSync(this.at('run/units', unit, 'main'))));
  }

  /** Gives PostgreSQL's data a file system of its own, before there is any. */
  async smallDisk(megabytes) {
    const place = this.at('var/lib/postgresql');
    const { uid, gid } = this.users.postgres;
    await must(['mount', '-t', 'tmpfs', '-o', `size=${megabytes}m,mode=750,uid=${uid},gid=${gid}`, 'tmpfs', place]);
  }

  /** Fills that file system to the last byte, and uses up what PostgreSQL has put by for its log. */
  async fill() {
    await ran(['dd', 'if=/dev/zero', `of=${this.at('var/lib/postgresql/ballast')}`, 'bs=1M', 'status=none']);
    const { bavail, bsize } = fs.statfsSync(this.at('var/lib/postgresql'));
    if (bavail * bsize > 1 << 20) throw new Error(`${this.name}: the disk is not full: ${bavail * bsize} bytes are free`);
    const psql = [path.join(this.programs.postgres, 'psql'), '-Xq', '-h', this.at('run/postgresql'), '-U', 'postgres', '-d', 'postgres'];
    const more = "SELECT pg_logical_emit_message(false, 'ha', 'x'); SELECT pg_switch_wal()";
    for (let segment = 0; segment < 40; segment += 1) {
      const { code } = await ran(this.words([...psql, '-c', more], 'postgres'), { limit: 20, environment: { PGCONNECT_TIMEOUT: '5' } });
      if (code !== 0) return;
    }
    throw new Error(`${this.name}: PostgreSQL still writes on a full disk`);
  }

  empty() {
    fs.rmSync(this.at('var/lib/postgresql/ballast'), { force: true });
  }

  /** The end of what a unit has written, without the requests that it has answered. */
  log(unit, lines = 15) {
    try {
      const all = fs.readFileSync(this.at('var/log', `${unit}.log`), 'utf8').trimEnd().split('\n');
      return all.filter((line) => !line.includes('INFO  gateway::envelope')).slice(-lines).join('\n');
    } catch {
      return '';
    }
  }
}

/** Waits until every one of the nodes answers yes. */
export function all(what, nodes, limit, ask) {
  return until(what, limit, async () => (await Promise.all(nodes.map(ask))).every(Boolean), 500);
}
