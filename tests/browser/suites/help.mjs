// Owns the help that is part of the appliance: found, read, right, and with no network.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { settled } from "../support/checks.mjs";
import { as, call, world } from "../support/world.mjs";

test("Ctrl-K finds a section of the help and goes there", () =>
  as(world.admin, async (page) => {
    await page.goto("/overview");
    await settled(page);
    await page.keyboard.press("Control+k");
    await page.getByRole("combobox", { name: /help/ }).fill("proxy");
    await page.getByRole("option", { name: "Through a proxy" }).click();
    await page.waitForURL("**/help/import#through-a-proxy");
    const heading = page.getByRole("heading", { name: "Through a proxy" });
    await heading.waitFor();
    await page.waitForFunction(() => scrollY > 0);
    await page.getByText("PALISADE_PROXY=").first().waitFor();
  }));

test("every link of the help leads somewhere", () =>
  as(world.admin, async (page) => {
    await page.goto("/help");
    const nav = page.getByRole("navigation", { name: "Help" });
    await nav.getByRole("link").first().waitFor();
    const topics = await nav
      .getByRole("link")
      .evaluateAll((links) => links.map((link) => link.pathname));
    assert.ok(topics.length >= 7, topics.join());
    for (const topic of topics) {
      await page.goto(topic);
      await page.locator("article h2").first().waitFor();
      const links = await page
        .locator("article a")
        .evaluateAll((links) => links.map((link) => link.pathname));
      for (const link of links) {
        if (link.startsWith("/help/")) assert.ok(topics.includes(link), link);
        else if (link !== "/ca.pem") {
          await page.goto(link);
          await page.locator("h1").first().waitFor();
          const lost = page.getByText("There is no such page");
          assert.equal(await lost.count(), 0, link);
        }
      }
    }
  }));

test("the reference of permissions is what the server knows", () =>
  as(world.admin, async (page) => {
    await page.goto("/help/roles");
    const { body } = await call(page, "GET", "/permissions");
    const table = page.getByRole("region", { name: "All permissions" });
    await table.waitFor();
    assert.equal(await table.locator("tbody tr").count(), body.items.length);
  }));

test("the authority is there for everybody, from the dialog of an import too", () =>
  as(world.admin, async (page) => {
    await page.goto("/help/first-steps");
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("link", { name: "download the authority" }).click(),
    ]);
    assert.equal(download.suggestedFilename(), "palisade-ca.pem");
    const pem = await readFile(await download.path(), "utf8");
    assert.match(pem, /^-----BEGIN CERTIFICATE-----/);
    assert.equal(pem, await world.appliance.authority());
  }));
