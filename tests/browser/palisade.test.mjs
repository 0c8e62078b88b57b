// Owns the order of the browser tests: each suite goes on where the one before stopped, as a new installation is used.
// They start the palisade of PALISADE_BIN, or the one that was built last, in a directory of its own.
import { after, before, describe } from "node:test";
import { startWorld, stopWorld } from "./support/world.mjs";

describe("Palisade in a browser", async () => {
  before(startWorld);
  after(stopWorld);

  await import("./suites/budget.mjs");
  await import("./suites/setup.mjs");
  await import("./suites/tenants.mjs");
  await import("./suites/fleet.mjs");
  await import("./suites/access.mjs");
  await import("./suites/audit.mjs");
  await import("./suites/appliance.mjs");
  await import("./suites/updates.mjs");
  await import("./suites/nodes.mjs");
  await import("./suites/help.mjs");
  await import("./suites/keyboard.mjs");
  await import("./suites/pages.mjs");
  await import("./suites/sessions.mjs");
});
