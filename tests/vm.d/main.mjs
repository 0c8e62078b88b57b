// The boot tests of `tests/vm`: each scenario is a machine of its own, from the finished image.
import fs from 'node:fs';
import path from 'node:path';
import { execFileSync } from 'node:child_process';
import { Machine, NETWORK, cutAll, until } from './machine.mjs';
import { Session, codeOn, importCluster, setUp } from './appliance.mjs';

const { VM_TOOLS: tools, VM_WORK: work, VM_BINARY: binary, VM_VERSION: version } = process.env;
const later = (patch) => version.replace(/\d+$/, String(patch));
const facts = [];
const note = (what, value) => {
  facts.push([what, String(value)]);
  console.log(`    ${what}: ${value}`);
};
const check = (ok, what) => {
  if (!ok) throw new Error(what);
};
const answers = (more = {}) => ({
  role: 'standalone', hostname: 'palisade.vm.example.com', ...NETWORK, admin_email: 'root@vm.example.com', ...more,
});

function fresh(name, options = {}) {
  return new Machine({ name, tools, work: path.join(work, 'machines'), disk: path.join(work, 'disk', `palisade-disk1.vmdk`), ...options });
}

/** The CA that browsers and agents are told to trust. */
async function trusted(machine) {
  const reply = await machine.request('GET', '/ca.pem');
  check(reply.status === 200, `/ca.pem answers ${reply.status}`);
  fs.writeFileSync(machine.at('ca.pem'), reply.text);
  return machine.at('ca.pem');
}

/** A machine that has been set up and has a cluster. */
async function used(name) {
  const machine = fresh(name, { environment: answers() });
  await machine.start();
  await machine.ready(600);
  await setUp(machine);
  await importCluster(machine, binary, await trusted(machine));
  return machine;
}

async function everythingIsThere(machine) {
  const session = await Session.tenant(machine);
  const clusters = await session.get('/v1/clusters');
  check(clusters.total === 1, `there are ${clusters.total} clusters, not 1`);
  const trail = await (await Session.system(machine)).get('/v1/audit?limit=5');
  check(trail.items.length > 0, 'the audit trail is empty');
}

async function running(machine) {
  return (await machine.inside('. /usr/lib/os-release; echo "$IMAGE_VERSION"')).text.trim();
}

async function restart(machine, seconds = 900, ask = () => machine.type('(sleep 1; systemctl reboot) &\n', 'probe.sock')) {
  const boot = (await machine.inside('cat /proc/sys/kernel/random/boot_id')).text;
  await ask();
  const begun = Date.now();
  await until('the next boot', seconds, async () => (await machine.inside('cat /proc/sys/kernel/random/boot_id', 10)).text !== boot, 1000);
  await machine.ready(seconds);
  return (Date.now() - begun) / 1000;
}

const scenarios = {
  /** Power on, set up, import, reboot; then what the machine says of itself. */
  async first() {
    const lynis = path.join(work, 'lynis.iso');
    const machine = fresh('first', { environment: answers(), cdrom: lynis });
    machine.tool('genisoimage', '-quiet', '-J', '-r', '-V', 'LYNIS', '-o', lynis, '-graft-points',
      'lynis=/usr/share/lynis', 'bin=/usr/sbin/lynis', 'default.prf=/etc/lynis/default.prf');
    await machine.start();
    note('power-on to /readyz, first boot', `${(await machine.ready(900)).toFixed(0)} s`);
    await setUp(machine);
    await importCluster(machine, binary, await trusted(machine));
    note('restart to /readyz', `${(await restart(machine)).toFixed(0)} s`);
    await everythingIsThere(machine);

    const grown = (await machine.inside('df -BG --output=size /var | tail -1')).text.trim();
    check(parseInt(grown, 10) > 20, `/var has ${grown}`);
    note('data file system after growing', grown);
    check((await machine.inside('systemctl --failed --no-legend --plain')).text.trim() === '', 'services have failed');
    const idle = (await machine.inside("free -m | awk '/^Mem:/ { print $3 }'")).text.trim();
    note('memory in use at idle (goal: at most 300 MB)', `${idle} MB`);

    const security = JSON.parse((await machine.inside('systemd-analyze security --no-pager --json=short')).text);
    const ours = security.filter(({ unit }) => unit.startsWith('palisade'));
    for (const { unit, exposure } of ours) note(`exposure of ${unit} (goal: at most 2.0)`, exposure);
    check(ours.length > 0 && ours.every(({ exposure }) => Number(exposure) <= 2), 'a unit of ours is exposed');

    const report = JSON.parse((await machine.inside('palisade doctor --cis -o json', 180)).text);
    fs.writeFileSync(path.join(work, 'cis.json'), JSON.stringify(report, null, 2));
    const failed = report.items.filter(({ outcome }) => outcome === 'fail').map(({ number }) => number);
    note('CIS-style checks', `${report.passed} of ${report.passed + report.failed} passed${failed.length ? `; not ${failed.join(', ')}` : ''}`);

    // From the disc into a directory of its own: lynis wants to find its parts beside itself.
    await machine.inside('mkdir -p /run/disc /run/lynis; for d in /dev/sr*; do mount -o ro $d /run/disc && [ -e /run/disc/bin ] && break; umount /run/disc; done; cp -r /run/disc/. /run/lynis; umount /run/disc; mkdir -p /run/lynis/lynis/plugins', 120);
    const audit = await machine.inside('cd /run/lynis/lynis && sh ../bin audit system --quick --no-colors --profile ../default.prf --logfile /run/lynis.log --report-file /run/lynis.dat', 2400);
    fs.writeFileSync(path.join(work, 'lynis.txt'), audit.text);
    const index = audit.text.match(/Hardening index\s*:\s*(\d+)/)?.[1];
    note('lynis (goal: at least 80)', index);
    check(Number(index) >= 80, `lynis says ${index}`);
    await machine.cut();
  },

  /** A good update is installed into the other slot, starts, and is kept. */
  async update() {
    const machine = await used('update');
    const file = path.join(work, 'good', `palisade-${later(91)}.update`);
    await upload(machine, file);
    note('update installed, restart to /readyz', `${(await restart(machine, 900, () => intoUpdate(machine))).toFixed(0)} s`);
    check((await running(machine)) === later(91), `${await running(machine)} runs`);
    await everythingIsThere(machine);
    await until('the new version is good', 240, async () => (await machine.inside('ls /boot/EFI/Linux /efi/EFI/Linux 2>/dev/null')).text.includes(`palisade_${later(91)}.efi`), 2000);
    note('the update says', (await (await Session.system(machine)).get('/v1/platform/updates')).last.message);
    await restart(machine);
    check((await running(machine)) === later(91), 'the new version was not kept');
    await machine.cut();
  },

  /** A version whose management plane does not start is left again by itself; nothing is lost. */
  async broken() {
    const machine = await used('broken');
    await refusals(machine);
    await upload(machine, path.join(work, 'bad', `palisade-${later(92)}.update`));
    const begun = Date.now();
    await restart(machine, 1800, () => intoUpdate(machine));
    await until('the old version', 1800, async () => (await running(machine)) === version && (await machine.ready(60)), 2000);
    note('broken update: back on the old version after', `${((Date.now() - begun) / 1000).toFixed(0)} s`);
    note('the update says', (await (await Session.system(machine)).get('/v1/platform/updates')).last.message);
    await everythingIsThere(machine);
    await machine.cut();
  },

  /** A root that was changed is not started. */
  async corrupt() {
    const machine = fresh('corrupt', { environment: answers() });
    // The middle of slot A's root: 512 MiB of ESP, then the file system.
    machine.tool('qemu-io', '-f', 'qcow2', '-c', 'write -P 0x5a 560M 64M', machine.at('disk.qcow2'));
    await machine.start({ kernel: 'systemd.show_status=yes' });
    await until('dm-verity refuses the root', 600, () => /verity.*(corrupt|error|fail)|metadata block .* is corrupted|data block .* is corrupted/i.test(machine.serial()), 1000);
    note('a changed root is refused after', `${machine.seconds().toFixed(0)} s`);
    let answered = true;
    try {
      await machine.request('GET', '/readyz', { seconds: 5 });
    } catch {
      answered = false;
    }
    check(!answered, 'a changed root answers requests');
    await machine.cut();
  },

  /** Power is cut at growing times of the first boot, always on the same disk. */
  async cuts() {
    const machine = fresh('cuts', { environment: answers() });
    const moments = [20, 26, 30, 34, 38, 42, 46, 50, 56, 62];
    for (const moment of moments) {
      await machine.start();
      await new Promise((done) => setTimeout(done, moment * 1000));
      await machine.cut();
    }
    await machine.start();
    await machine.ready(900);
    await setUp(machine);
    check((await machine.inside('systemctl --failed --no-legend --plain')).text.trim() === '', 'services have failed');
    note('power cuts during first boot, then whole', moments.length);
    await machine.cut();
  },

  /** Wrong properties are named on the console, and the console repairs them. */
  async wrong() {
    const given = { ipv4: '10.66.0.15/33', gateway: '192.0.2.1', role: 'captain', ssh_public_key: 'ssh-dss AAAA' };
    const machine = fresh('wrong', { environment: { ...answers(), ...given } });
    await machine.start();
    for (const key of ['ipv4', 'role', 'ssh_public_key']) await complains(machine, key);
    await machine.settled();
    // The form begins at the first mistake, the address; the role comes nine lines later, the key three more.
    await machine.keys('2', 'e', CLEAR, NETWORK.ipv4, ...Array(9).fill(ENTER), CLEAR, 'standalone', ENTER, ENTER, ENTER, CLEAR, APPLY);
    const outside = await until('the gateway is blamed', 60, () => machine.serial().match(/"192\.0\.2\.1" is outside .*?(?= {2}|[\n│])/)?.[0]);
    note('wrong gateway', outside.trim());
    await machine.keys(CLEAR, NETWORK.gateway, APPLY);
    await until('the question', 60, () => machine.serial().includes('Use these answers'));
    await machine.keys('y');
    note('ready after the repair at the console', `${(await machine.ready(900)).toFixed(0)} s after power-on`);
    await until('the answers are in effect', 120, () => machine.serial().includes('The answers are in effect'));
    await machine.keys(ENTER, '1');
    await setUp(machine);
    await restart(machine);
    await Session.system(machine);
    await machine.cut();
  },
};

const [ENTER, CLEAR, APPLY] = ['\r', '\x15', '\x13'];

/** Waits for the line about this property, and notes it. */
async function complains(machine, key) {
  const line = await until(`${key} on the console`, 600, () => machine.serial().match(new RegExp(`${key}: ("|is )[^\\n│]*`))?.[0], 1000);
  note(`wrong ${key}`, line.trim());
}

/** An altered, a cut-off and a stranger's file are refused, and no slot is written. */
async function refusals(machine) {
  const good = fs.readFileSync(path.join(work, 'bad', `palisade-${later(92)}.update`));
  const altered = Buffer.from(good);
  altered[altered.length >> 1] ^= 1;
  const slots = () => machine.inside('for p in /dev/disk/by-partlabel/*; do echo $p; done; sha256sum /dev/disk/by-partlabel/_empty* | cut -c1-64', 300);
  const before = (await slots()).text;
  const wrong = [['altered', altered], ['cut-off', good.subarray(0, good.length >> 1)], ["stranger's", fs.readFileSync(path.join(work, 'bad', 'stranger.update'))]];
  for (const [what, bytes] of wrong) {
    fs.writeFileSync(machine.at('wrong.update'), bytes);
    let refused = false;
    try {
      await upload(machine, machine.at('wrong.update'));
    } catch (error) {
      refused = true;
      note(`${what} update file`, error.message.slice(0, 200));
    }
    check(refused, `the ${what} file was installed`);
  }
  check((await slots()).text === before, 'a refused file changed a slot');
}

async function intoUpdate(machine) {
  const asked = await (await Session.system(machine)).call('POST', '/v1/platform/updates/restart');
  if (asked.status !== 202) throw new Error(`restart: ${asked.status} ${asked.text}`);
}

/** Uploads an update file and installs it. */
async function upload(machine, file) {
  const session = await Session.system(machine);
  const bytes = fs.readFileSync(file);
  const sent = await session.call('PUT', '/v1/platform/updates/upload', bytes, { headers: { 'content-type': 'application/octet-stream' }, seconds: 900 });
  if (sent.status >= 300) throw new Error(`upload: ${sent.status} ${sent.text}`);
  const begun = await session.call('POST', '/v1/platform/updates/install', { from: 'upload' });
  if (begun.status >= 300) throw new Error(`install: ${begun.status} ${begun.text}`);
  let failure;
  await until('the update is installed', 900, async () => {
    const { progress, last } = await session.get('/v1/platform/updates');
    failure = progress?.failure;
    return failure || (!progress?.running && last?.result === 'waiting');
  }, 2000);
  if (failure) throw new Error(failure);
}

function table() {
  const width = Math.max(...facts.map(([what]) => what.length), 4);
  console.log(`\n${new Date().toISOString().slice(0, 16)} UTC, ${process.env.VM_ACCEL === 'kvm' ? 'KVM' : 'emulated (TCG)'}, 2 virtual CPUs\n`);
  for (const [what, value] of facts) console.log(`${what.padEnd(width)}  ${value}`);
}

for (const file of fs.readdirSync(work).filter((name) => name.endsWith('.ova'))) note('OVA', `${(fs.statSync(path.join(work, file)).size / 1e6).toFixed(0)} MB (goal: at most 250)`);
fs.mkdirSync(path.join(work, 'disk'), { recursive: true });
const ova = fs.readdirSync(work).find((name) => name.endsWith('.ova'));
execFileSync('tar', ['-xf', path.join(work, ova), '-C', path.join(work, 'disk')]);
for (const file of fs.readdirSync(path.join(work, 'disk'))) {
  if (file.endsWith('.vmdk')) fs.renameSync(path.join(work, 'disk', file), path.join(work, 'disk', 'palisade-disk1.vmdk'));
}

let failed = 0;
for (const name of process.argv.slice(2)) {
  if (!scenarios[name]) throw new Error(`there is no scenario ${name}: ${Object.keys(scenarios).join(' ')}`);
  console.log(`\n==> ${name}`);
  const begun = Date.now();
  try {
    await scenarios[name]();
    note(`scenario ${name}`, `passed in ${((Date.now() - begun) / 1000).toFixed(0)} s`);
  } catch (error) {
    failed += 1;
    note(`scenario ${name}`, `FAILED: ${error.message}`);
  } finally {
    await cutAll();
  }
}
table();
process.exit(failed ? 1 : 0);
