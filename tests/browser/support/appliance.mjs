// Owns one real appliance: its directory, the server process, its set-up code, and the agents that talk to it.
import { execFile, spawn } from "node:child_process";
import { access, mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../../..");
const PATIENCE = 60_000;

/** PALISADE_BIN, or what was built last: the release for everybody first, a debug build otherwise. */
export async function binary() {
  const target = process.env.CARGO_TARGET_DIR ?? join(ROOT, "target");
  const places = [
    process.env.PALISADE_BIN,
    join(target, "x86_64-unknown-linux-musl/release/palisade"),
    join(target, "debug/palisade"),
  ].filter(Boolean);
  for (const place of process.env.PALISADE_BIN ? places.slice(0, 1) : places) {
    if (
      await access(place).then(
        () => true,
        () => false,
      )
    )
      return place;
  }
  throw new Error(
    `There is no palisade at ${places.join(", ")}: run appliance/quickstart --build-only, or set PALISADE_BIN.`,
  );
}

const freePort = () =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

export class Appliance {
  #children = new Set();
  #server = null;
  #binary = "";
  #port = 0;
  directory = "";
  url = "";

  async prepare() {
    this.#binary = await binary();
    this.#port = await freePort();
    this.url = `https://localhost:${this.#port}`;
    this.directory = await mkdtemp(join(tmpdir(), "palisade-appliance-"));
  }

  /** Starts the server and answers when it is ready. */
  async start() {
    this.#server = this.#run("serve", [
      "--listen",
      `127.0.0.1:${this.#port}`,
      "--data-dir",
      join(this.directory, "var"),
      ...Object.entries({
        "server.public_port": this.#port,
        "server.drain_seconds": 1,
        "bus.listen": "off",
        "bus.websocket_listen": "127.0.0.1:0",
        "agents.heartbeat_timeout_seconds": 15,
        "log.format": "human",
      }).flatMap(([key, value]) => ["--set", `${key}=${value}`]),
    ]);
    for (const end = Date.now() + PATIENCE; Date.now() < end;) {
      if (this.#server.over) break;
      if ((await this.#status("/readyz")) === 200) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`The server is not ready:\n${this.#server.said()}`);
  }

  /** Ends the server as `systemctl stop` would. */
  async stop() {
    await this.#server?.end();
  }

  /** Ends the server and every agent, and forgets what they wrote. */
  async remove() {
    await Promise.all([...this.#children].map((child) => child.end()));
    if (this.directory)
      await rm(this.directory, { recursive: true, force: true });
  }

  setupCode = async () =>
    (await readFile(join(this.directory, "var/setup-code"), "utf8")).trim();

  authority = () => readFile(join(this.directory, "var/ca.pem"), "utf8");

  /** Starts agents of clusters that do not exist; answers what ends them. */
  simulate(token, options) {
    const agents = this.#run("simulate", [
      "--url",
      this.url,
      "--ca",
      join(this.directory, "var/ca.pem"),
      "--token",
      token,
      ...Object.entries(options).flatMap(([name, value]) => [
        `--${name}`,
        String(value),
      ]),
    ]);
    return () => agents.end();
  }

  /** Runs a Python script on the database, to make a past that no test can wait for. */
  onDatabase = (script) =>
    promisify(execFile)("python3", [
      "-c",
      script,
      join(this.directory, "var/palisade.db"),
    ]);

  #run(verb, options) {
    const child = spawn(this.#binary, [verb, ...options], {
      stdio: ["ignore", "pipe", "pipe"],
      cwd: this.directory,
      // The program takes variables like ours for its settings.
      env: Object.fromEntries(
        Object.entries(process.env).filter(
          ([name]) => !name.startsWith("PALISADE_"),
        ),
      ),
    });
    let said = "";
    let ending = false;
    const listen = (data) => (said = (said + data).slice(-20_000));
    child.stdout.on("data", listen);
    child.stderr.on("data", listen);
    const running = { over: false, said: () => said, end: null };
    const ended = new Promise((resolve) => {
      child.once("error", (error) => resolve(listen(error.message)));
      child.once("close", (code, signal) =>
        resolve(listen(`${verb} ended: ${signal ?? code}\n`)),
      );
    }).then(() => {
      if (!ending) console.log(`# ${said.trim().replaceAll("\n", "\n# ")}`);
      running.over = true;
      this.#children.delete(running);
    });
    running.end = async () => {
      ending = true;
      child.kill("SIGTERM");
      const patience = setTimeout(() => child.kill("SIGKILL"), 20_000);
      await ended;
      clearTimeout(patience);
    };
    this.#children.add(running);
    return running;
  }

  /** The status of an answer, or nothing. The certificate is new and nobody knows it yet. */
  #status(path) {
    return new Promise((resolve) => {
      const call = request(
        `${this.url}${path}`,
        { rejectUnauthorized: false, agent: false, timeout: 5_000 },
        (response) => {
          response.resume();
          response.once("close", () => resolve(response.statusCode));
        },
      );
      call.once("timeout", () => call.destroy());
      call.once("error", () => resolve(null));
      call.end();
    });
  }
}
