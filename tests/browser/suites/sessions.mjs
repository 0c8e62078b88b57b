// Owns the life of a session: log-in over the page, warning, log-out, lost connection.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertAccessible, screenshot, settled } from "../support/checks.mjs";
import { as, fillLogin, world } from "../support/world.mjs";

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

test('two minutes before the end there is a warning, and "stay" keeps the session', () =>
  as(
    world.admin,
    async (page) => {
      await page.clock.install();
      await page.goto("/overview");
      await settled(page);
      const end = await page.evaluate(async () =>
        Date.parse((await (await fetch("/v1/auth/me")).json()).expiresAt),
      );
      const now = await page.evaluate(() => Date.now());
      await page.clock.fastForward(end - now - 100_000);
      await page.getByText("You are logged out in").waitFor();
      await assertAccessible(page, "session warning");
      await screenshot(page, "session-warning-light");
      await page.getByRole("button", { name: "Stay logged in" }).click();
      await page
        .getByText("You are logged out in")
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
  'a lost connection shows "Reconnecting" and comes back as "Live"',
  { skip: world.real && "only the mock drops streams" },
  () =>
    as(
      world.admin,
      async (page) => {
        await page.getByText("Live", { exact: true }).waitFor();
        await fetch(`${world.url}/mock/drop-streams`, {
          method: "POST",
          body: "{}",
        });
        await page.getByText("Reconnecting").waitFor();
        await page
          .getByText("Live", { exact: true })
          .waitFor({ timeout: 15_000 });
        // Chromium notes each broken stream; that is what this test makes happen.
      },
      { fresh: true },
    ).catch((error) =>
      assert.match(
        error.message,
        /ERR_(INCOMPLETE_CHUNKED_ENCODING|EMPTY_RESPONSE|CONNECTION)/,
      ),
    ),
);
