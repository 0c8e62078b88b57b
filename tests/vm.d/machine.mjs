// A virtual machine of the appliance, driven from outside: power, serial console, HTTPS.
//
// Owns: QEMU's arguments and the machine's directory.
// Must not know: what is tested.
import { spawn, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import https from 'node:https';
import net from 'node:net';
import path from 'node:path';

const GUEST = '10.66.0.15';
export const NETWORK = { ipv4: `${GUEST}/24`, gateway: '10.66.0.2', dns: '10.66.0.3' };

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** The machine has ended by itself: nothing more is to be waited for. */
class Ended extends Error {}

/** Tries until `attempt` answers something, or fails with what it said last. */
export async function until(what, seconds, attempt, every = 500) {
  const end = Date.now() + seconds * 1000;
  let last = 'nothing';
  while (Date.now() < end) {
    try {
      const found = await attempt();
      if (found) return found;
    } catch (error) {
      if (error instanceof Ended) throw error;
      last = error.message;
    }
    await sleep(every);
  }
  throw new Error(`${what}: not within ${seconds} s; last: ${last}`);
}

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  return port;
}

/** Whether hardware virtualization works for a stock kernel here, and not only exists. */
let accelerator;
function acceleration() {
  accelerator ??= process.env.VM_ACCEL ?? 'tcg';
  return accelerator === 'kvm' ? ['-accel', 'kvm', '-cpu', 'host'] : ['-accel', 'tcg,thread=multi,tb-size=512', '-cpu', 'max'];
}

const running = new Set();

/** Cuts every machine that still runs. */
export async function cutAll() {
  await Promise.all([...running].map((machine) => machine.cut()));
}

// Who ends the test ends its machines.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => cutAll().then(() => process.exit(130)));

export class Machine {
  /** A machine with a disk of its own on top of `disk`; `tools` is the directory with QEMU. */
  constructor({ name, tools, work, disk, memory = 4096, environment, cdrom }) {
    Object.assign(this, { name, tools, disk, memory, cdrom });
    this.dir = path.join(work, name);
    fs.rmSync(this.dir, { recursive: true, force: true });
    fs.mkdirSync(this.dir, { recursive: true });
    const vars = path.join(tools, 'usr/share/OVMF/OVMF_VARS_4M.fd');
    fs.copyFileSync(vars, this.at('vars.fd'));
    if (environment) this.ovf(environment);
    this.tool('qemu-img', 'create', '-q', '-f', 'qcow2', '-F', path.extname(disk) === '.vmdk' ? 'vmdk' : 'raw', '-b', disk, this.at('disk.qcow2'));
  }

  at(file) {
    return path.join(this.dir, file);
  }

  /** Runs a program of the tools directory, which sees this machine's files under their own names. */
  tool(...args) {
    return execFileSync(path.join(import.meta.dirname, 'in-tools'), [this.tools, ...args], { encoding: 'utf8' });
  }

  /** Gives the machine a CD-ROM with this OVF environment, as vSphere does. */
  ovf(properties) {
    const escaped = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
    const lines = Object.entries(properties).map(([key, value]) => `    <Property oe:key="${escaped(key)}" oe:value="${escaped(value)}"/>`);
    const namespace = 'http://schemas.dmtf.org/ovf/environment/1';
    fs.mkdirSync(this.at('ovf'), { recursive: true });
    fs.writeFileSync(
      this.at('ovf/ovf-env.xml'),
      `<?xml version="1.0" encoding="UTF-8"?>\n<Environment xmlns="${namespace}" xmlns:oe="${namespace}" oe:id="palisade">\n  <PropertySection>\n${lines.join('\n')}\n  </PropertySection>\n</Environment>\n`,
    );
    this.tool('genisoimage', '-quiet', '-J', '-r', '-V', 'OVF ENV', '-o', this.at('ovf.iso'), this.at('ovf'));
    this.environment = this.at('ovf.iso');
  }

  /** Power on. */
  async start({ kernel = '', extra = [] } = {}) {
    this.port = await freePort();
    this.sshPort = await freePort();
    this.begun = Date.now();
    for (const log of ['serial.log', 'probe.log']) fs.writeFileSync(this.at(log), '');
    const cd = (file, n) =>
      file ? ['-drive', `if=none,id=cd${n},file=${file},media=cdrom,readonly=on`, '-device', `ide-cd,drive=cd${n},bus=ide.${n}`] : [];
    const probe = fs.readFileSync(path.join(import.meta.dirname, 'probe.service')).toString('base64');
    const strings = [
      `value=io.systemd.stub.kernel-cmdline-extra=systemd.wants=probe.service ${kernel}`,
      `value=io.systemd.credential.binary:systemd.extra-unit.probe.service=${probe}`,
    ];
    const args = [
      'qemu-system-x86_64', '-name', this.name, '-machine', 'q35', ...acceleration(), '-smp', '2', '-m', String(this.memory),
      '-drive', 'if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd',
      '-drive', `if=pflash,format=raw,file=${this.at('vars.fd')}`,
      '-device', 'virtio-scsi-pci,id=scsi0',
      '-drive', `if=none,id=d0,file=${this.at('disk.qcow2')},format=qcow2,discard=unmap,cache=writeback`,
      '-device', 'scsi-hd,drive=d0,bus=scsi0.0,bootindex=1',
      ...cd(this.environment, 0), ...cd(this.cdrom, 1),
      '-netdev', `user,id=n1,restrict=on,net=10.66.0.0/24,hostfwd=tcp:127.0.0.1:${this.port}-${GUEST}:443,hostfwd=tcp:127.0.0.1:${this.sshPort}-${GUEST}:22`,
      '-device', 'vmxnet3,netdev=n1', '-device', 'virtio-rng-pci',
      ...strings.flatMap((value) => ['-smbios', `type=11,${value}`]),
      '-display', 'none', '-vga', 'std',
      '-chardev', `socket,id=s0,path=${this.at('serial.sock')},server=on,wait=off,logfile=${this.at('serial.log')}`, '-serial', 'chardev:s0',
      '-chardev', `socket,id=s1,path=${this.at('probe.sock')},server=on,wait=off,logfile=${this.at('probe.log')}`, '-serial', 'chardev:s1',
      '-monitor', `unix:${this.at('monitor.sock')},server,nowait`, ...extra,
    ];
    const log = fs.openSync(this.at('qemu.log'), 'a');
    this.process = spawn(path.join(import.meta.dirname, 'in-tools'), [this.tools, ...args], { stdio: ['ignore', log, log] });
    fs.closeSync(log);
    this.ended = once(this.process, 'exit');
    running.add(this);
    this.ended.then(() => running.delete(this));
  }

  /** Power cut: what the guest has not written is lost. */
  async cut() {
    this.process.kill('SIGKILL');
    await this.ended;
  }

  /** Seconds since power-on. */
  seconds() {
    return (Date.now() - this.begun) / 1000;
  }

  /** What the serial console has shown, without control sequences. */
  serial() {
    // eslint-disable-next-line no-control-regex
    return fs.readFileSync(this.at('serial.log'), 'latin1').replace(/\x1b(\[[0-9;?=]*[A-Za-z]|[()][A-Z0-9]|[=>78])/g, '').replace(/\r/g, '');
  }

  /** Runs a command as root inside, through a unit that only the test's firmware strings bring. */
  async inside(command, seconds = 60) {
    await until('the probe', seconds, () => /(^|\n)=probe=\r?\n/.test(fs.readFileSync(this.at('probe.log'), 'utf8')), 200);
    this.asked = (this.asked ?? 0) + 1;
    const mark = `=${this.asked}=`;
    const before = fs.statSync(this.at('probe.log')).size;
    await this.type(`(${command}) 2>&1; echo "${mark}$?"\n`, 'probe.sock');
    return until(`the answer to ${command}`, seconds, () => {
      const said = fs.readFileSync(this.at('probe.log')).subarray(before).toString().replaceAll('\r', '');
      const end = said.match(new RegExp(`(^|\\n)${mark}(\\d+)\\n`));
      if (!end) return false;
      return { text: said.slice(0, end.index), code: Number(end[2]) };
    });
  }

  /** Types on the serial console. */
  async type(text, to = 'serial.sock') {
    const socket = net.connect(this.at(to));
    await once(socket, 'connect');
    // Who does not read stops the line: the log has it all.
    socket.resume();
    socket.end(text);
    // A machine that restarts reads nothing, and what it was told is lost with it.
    await Promise.race([once(socket, 'close'), sleep(5000)]);
    socket.destroy();
  }

  /** Waits until the serial console has painted what it has to, for at most twenty seconds. */
  async painted() {
    const size = () => fs.statSync(this.at('serial.log')).size;
    const end = Date.now() + 20_000;
    let before = -1;
    do {
      before = size();
      await sleep(1000);
    } while (size() !== before && Date.now() < end);
  }

  /** Types these on the serial console, one after the other: an emulated line is slow. */
  async keys(...all) {
    const socket = net.connect(this.at('serial.sock'));
    await once(socket, 'connect');
    // Who does not read stops the line: the log has it all.
    socket.resume();
    for (const text of all) {
      socket.write(text);
      await this.painted();
    }
    socket.end();
    await Promise.race([once(socket, 'close'), sleep(5000)]);
    socket.destroy();
  }

  /** Waits until the console shows its pages and has been quiet for a while: a machine that starts does not hear. */
  async settled() {
    await until('the console', 300, () => /F2\/2/.test(this.serial()));
    await until('the first start to end', 300, async () => /running|degraded/.test((await this.inside('systemctl is-system-running --wait', 290)).text), 1000);
  }

  /** One HTTPS request. The certificate is the appliance's own; it is looked at elsewhere. */
  request(method, target, { body, headers = {}, seconds = 30 } = {}) {
    return new Promise((done, fail) => {
      const text = body === undefined || Buffer.isBuffer(body) ? body : JSON.stringify(body);
      const request = https.request(
        {
          host: '127.0.0.1', port: this.port, method, path: target, rejectUnauthorized: false, agent: false, timeout: seconds * 1000,
          headers: { ...(text && !Buffer.isBuffer(body) ? { 'content-type': 'application/json' } : {}), ...headers },
        },
        (response) => {
          const chunks = [];
          response.on('data', (chunk) => chunks.push(chunk));
          response.on('error', fail);
          response.on('end', () => {
            const said = Buffer.concat(chunks).toString();
            let json;
            try {
              json = JSON.parse(said);
            } catch {
              json = undefined;
            }
            done({ status: response.statusCode, headers: response.headers, text: said, json });
          });
        },
      );
      request.on('timeout', () => request.destroy(new Error(`no answer within ${seconds} s`)));
      request.on('error', fail);
      request.end(text);
    });
  }

  /** Waits until the appliance says that it is ready, and answers after how many seconds. */
  async ready(seconds = 300) {
    await until('/readyz', seconds, async () => {
      if (this.process.exitCode !== null) throw new Ended(`QEMU has ended: ${fs.readFileSync(this.at('qemu.log'), 'utf8')}`);
      const reply = await this.request('GET', '/readyz', { seconds: 10 });
      return reply.status === 200;
    });
    return this.seconds();
  }
}
