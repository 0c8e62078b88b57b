// Owns the life of a session: log-in over the page, warning, log-out, lost connection.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertAccessible, screenshot, settled } from "../support/checks.mjs";
import { as, call, fillLogin, logIn, visit, world } from "../support/world.mjs";

test("when the session is gone, the user logs in over the page and loses nothing", () =>
  as(
    world.admin,
    async (page, context) => {
      await page.goto("/projects");
      await settled(page);
      await page.getByRole("button", { name: "Create project" }).click();
      await page.getByLabel("Name").fill("Typed before the end");
      await context.clearCookies();
      await page.getByRole("button", { name: "Create", exact: true }).click();
      const again = page.getByRole("dialog", { name: "Log in again" });
      await again.waitFor();
      await assertAccessible(page, "log-in over the page");
      await screenshot(page, "relogin-light");
      await fillLogin(page, world.admin, again);
      // The request that was refused is sent again, once, with what was typed.
      await page
        .getByRole("cell", { name: "Typed before the end", exact: true })
        .waitFor();
    },
    { fresh: true },
  ));

/** Chromium notes each broken stream; where a test breaks it, that is no fault. */
function brokenStream(error) {
  assert.match(error.message, /ERR_FAILED/);
}

/** Moves the browser's clock, and the server's as far as the page can see. */
async function wait(page, minutes) {
  await page.route("**/v1/**", async (route) => {
    if (route.request().url().endsWith("/events")) return route.abort();
    const response = await route.fetch();
    const date = new Date(Date.now() + minutes * 60_000).toUTCString();
    await route.fulfill({ response, headers: { ...response.headers(), date } });
  });
  await page.clock.fastForward(minutes * 60_000);
}

test("who does nothing is warned two minutes before the end, and can stay", () =>
  as(
    world.admin,
    async (page) => {
      await page.clock.install();
      await page.route("**/v1/events", (route) => route.abort());
      await page.goto("/overview");
      await settled(page);
      const { body } = await call(page, "GET", "/auth/me");
      await wait(page, body.idleMinutes - 1.7);
      await page.getByText("Nobody has done anything here").waitFor();
      await assertAccessible(page, "session warning");
      await screenshot(page, "session-warning-light");
      await page.getByRole("button", { name: "Stay logged in" }).click();
      await page
        .getByText("Nobody has done anything here")
        .waitFor({ state: "detached" });
    },
    { fresh: true },
  ).catch(brokenStream));

test("an end that nobody can put off is announced, too, and leads to the log-in", () =>
  as(
    world.admin,
    async (page) => {
      await page.route("**/v1/auth/me", async (route) => {
        const response = await route.fetch();
        const me = await response.json();
        assert.ok(Date.parse(me.sessionEndsAt) > Date.now() + 3_600_000);
        me.sessionEndsAt = new Date(Date.now() + 100_000).toISOString();
        await route.fulfill({ response, json: me });
      });
      await page.goto("/projects");
      await page.getByText("Your session ends in").waitFor();
      await page.getByRole("button", { name: "Log in again" }).click();
      const again = page.getByRole("dialog", { name: "Log in again" });
      await fillLogin(page, world.admin, again);
      await again.waitFor({ state: "detached" });
      await page
        .getByText("Your session ends in")
        .waitFor({ state: "detached" });
    },
    { fresh: true },
  ));

test("log-out ends the session in every tab", () =>
  as(
    world.admin,
    async (page, context) => {
      const other = await context.newPage();
      await other.goto("/users");
      await settled(other);
      await page.getByRole("button", { name: /user menu/ }).click();
      await page.getByRole("button", { name: "Log out", exact: true }).click();
      await page.waitForURL("**/login");
      await other.waitForURL("**/login?next=*");
      await page.goto("/clusters");
      await page.waitForURL("**/login?next=*");
    },
    { fresh: true },
  ));

test(
  'a server that restarts shows "Reconnecting", then "Live", and nobody is logged out',
  { timeout: 90_000 },
  async () => {
    const { context, page } = await visit();
    try {
      await logIn(page, world.admin);
      await page.getByText("Live", { exact: true }).waitFor();
      await world.appliance.stop();
      await page.getByText("Reconnecting").waitFor();
      await screenshot(page, "reconnecting-light");
      await world.appliance.start();
      await page
        .getByText("Live", { exact: true })
        .waitFor({ timeout: 40_000 });
      await page.goto("/projects");
      await page.getByRole("button", { name: "Create project" }).waitFor();
    } finally {
      await context.close();
    }
  },
);

test(
  "seven tabs are live at the same time, and still load pages",
  { timeout: 60_000 },
  () =>
    as(world.admin, async (page, context) => {
      const tabs = [page];
      while (tabs.length < 7) tabs.push(await context.newPage());
      for (const tab of tabs) {
        await tab.goto("/overview");
        await tab.getByText("Live", { exact: true }).waitFor();
      }
      // With one connection for each stream the browser would have none left by now.
      await page.goto("/clusters");
      await page.getByRole("heading", { name: "Clusters", level: 1 }).waitFor();
      const protocol = await page.evaluate(
        () => performance.getEntriesByType("navigation")[0].nextHopProtocol,
      );
      assert.equal(protocol, "h2");
    }),
);
