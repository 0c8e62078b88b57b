// Owns what can be done without a mouse, and what the browser remembers of the user's taste.
import assert from "node:assert/strict";
import { test } from "node:test";
import { settled } from "../support/checks.mjs";
import { as, world } from "../support/world.mjs";

test("Ctrl-K finds a cluster and Enter opens it", () =>
  as(world.admin, async (page) => {
    await page.goto("/overview");
    await settled(page);
    const { items } = await page.evaluate(async () =>
      (await fetch("/v1/clusters?limit=1&sort=name")).json(),
    );
    await page.keyboard.press("Control+k");
    const box = page.getByRole("combobox", {
      name: "Page, cluster, project, user or help",
    });
    await box.fill(items[0].name);
    await page
      .getByRole("option", { name: new RegExp(items[0].name) })
      .first()
      .waitFor();
    await page.keyboard.press("Enter");
    await page
      .getByRole("heading", { name: items[0].name, level: 1 })
      .waitFor();
    assert.equal(
      await page.evaluate(() => document.activeElement?.tagName),
      "H1",
      "the new page has the focus",
    );
  }));

test('"?" shows the shortcuts, "g c" goes to the clusters, "/" searches', () =>
  as(world.admin, async (page) => {
    await page.goto("/overview");
    await settled(page);
    await page.keyboard.press("?");
    await page.getByRole("dialog").getByText("Search in this list").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await page.keyboard.press("g");
    await page.keyboard.press("c");
    await page.waitForURL("**/clusters");
    await settled(page);
    await page.keyboard.press("/");
    assert.equal(
      await page.evaluate(() =>
        document.activeElement?.hasAttribute("data-search"),
      ),
      true,
    );
  }));

test("a dialog keeps the focus and gives it back", () =>
  as(world.admin, async (page) => {
    await page.goto("/projects");
    await settled(page);
    const opener = page.getByRole("button", { name: "Create project" });
    await opener.focus();
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").waitFor();
    assert.equal(
      await page.evaluate(() => document.activeElement?.getAttribute("name")),
      "name",
    );
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "hidden" });
    assert.equal(
      await opener.evaluate((element) => element === document.activeElement),
      true,
    );
  }));

test("colours and density are remembered", () =>
  as(world.admin, async (page) => {
    await page.goto("/overview");
    await page.getByRole("button", { name: /user menu/ }).click();
    await page.getByLabel("Colours").selectOption("dark");
    await page.getByLabel("Rows").selectOption("comfortable");
    await page.reload();
    await settled(page);
    assert.deepEqual(
      await page.evaluate(() => ({ ...document.documentElement.dataset })),
      { theme: "dark", density: "comfortable" },
    );
    const background = await page.evaluate(
      () => getComputedStyle(document.body).backgroundColor,
    );
    assert.match(
      background,
      /rgb\((1\d|2\d), (1\d|2\d), (1\d|2\d|3\d)\)/,
      background,
    );
  }));
