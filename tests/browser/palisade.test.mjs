// Owns the order of the browser tests: each suite goes on where the one before stopped, as a new installation is used.
// PALISADE_URL and PALISADE_SETUP_CODE name a fresh appliance; without them the mock is started.
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
  await import("./suites/keyboard.mjs");
  await import("./suites/pages.mjs");
  await import("./suites/sessions.mjs");
});
