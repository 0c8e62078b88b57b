// What every part of tests/ha uses: waiting, and running a program to its end.
//
// Owns: nothing of the cluster.
import { spawn } from 'node:child_process';
import { once } from 'node:events';

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
export const seconds = (ms) => (ms / 1000).toFixed(1);
const PATH = '/usr/sbin:/usr/bin:/sbin:/bin';

/** Tries until `attempt` answers something, or fails with what it said last. */
export async function until(what, limit, attempt, every = 250) {
  const end = Date.now() + limit * 1000;
  let last = 'nothing';
  do {
    try {
      const found = await attempt();
      if (found) return found;
    } catch (error) {
      last = error.message;
    }
    await sleep(every);
  } while (Date.now() < end);
  throw new Error(`${what}: not within ${limit} s; last: ${last}`);
}

/** Runs a program with a clean environment. It answers `code`, `out` and `err`, also when it fails. */
export async function ran(words, { input = '', limit = 60, environment = {} } = {}) {
  const child = spawn(words[0], words.slice(1), { env: { PATH, LC_ALL: 'C.UTF-8', ...environment } });
  let [out, err] = ['', ''];
  child.stdout.on('data', (text) => (out += text));
  child.stderr.on('data', (text) => (err += text));
  child.stdin.on('error', () => {}); // it does not read
  child.stdin.end(input);
  const timer = setTimeout(() => child.kill('SIGKILL'), limit * 1000);
  const [code, signal] = await once(child, 'close');
  clearTimeout(timer);
  if (signal) err += `\nended by ${signal} after at most ${limit} s`;
  return { code: code ?? 128, out, err };
}

/** The same; a failure is one here too, with the program's own words. */
export async function must(words, options) {
  const { code, out, err } = await ran(words, options);
  if (code !== 0) throw new Error(`${words.slice(0, 12).join(' ')}: ${code}: ${err.trim() || out.trim()}`);
  return out;
}

/** The number at which so many percent of all are not larger. */
export function percentile(numbers, percent) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil((percent / 100) * sorted.length) - 1)];
}
