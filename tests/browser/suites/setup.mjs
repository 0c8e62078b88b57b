// Owns the first run, from the set-up code to the recovery kit.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { unexpected } from "../support/browser.mjs";
import {
  assertAccessible,
  assertNoOverflow,
  screenshot,
} from "../support/checks.mjs";
import { visit, world } from "../support/world.mjs";

async function look(page, step) {
  for (const colorScheme of ["dark", "light"]) {
    await page.emulateMedia({ colorScheme });
    await screenshot(page, `wizard-${step}-${colorScheme}`);
    await assertAccessible(page, `wizard ${step} ${colorScheme}`);
  }
  await page.setViewportSize({ width: 320, height: 700 });
  await assertNoOverflow(page, `wizard ${step}`);
  await screenshot(page, `wizard-${step}-narrow`);
  await page.setViewportSize({ width: 1280, height: 800 });
}

test(
  "the wizard sets the appliance up and hands over the recovery kit",
  { timeout: 120_000 },
  async (t) => {
    const { context, page, complaints } = await visit();
    t.after(() => context.close());
    const next = () => page.getByRole("button", { name: "Continue" }).click();

    await page.goto("/clusters");
    await page.waitForURL("**/setup");
    await page.getByLabel("Set-up code").fill("not-the-code");
    await page.getByRole("button", { name: "Check the code" }).click();
    const refused = page.locator('input[aria-invalid="true"]');
    await refused.waitFor();
    assert.equal(
      await refused.evaluate((element) => element === document.activeElement),
      true,
      "the wrong field has the focus",
    );
    await look(page, "code");

    // Small letters and missing dashes do not matter.
    const code = (await world.appliance.setupCode()).toLowerCase();
    await page.getByLabel("Set-up code").fill(code.replaceAll("-", " "));
    await page.getByRole("button", { name: "Check the code" }).click();
    await page.getByRole("heading", { name: "Checks" }).waitFor();
    assert.ok(
      (await page.getByRole("row").count()) > 1,
      "each check has a result",
    );
    await look(page, "checks");
    await next();

    await page.getByLabel("Name", { exact: true }).fill(world.root.name);
    await page.getByLabel("E-mail").fill(world.root.email);
    await page.getByLabel("Password", { exact: true }).fill("too short");
    await page.getByLabel("Password again").fill("too short");
    await next();
    await page.getByText("This password breaks a rule below.").waitFor();
    await page.goBack();
    await page.getByRole("heading", { name: "Checks" }).waitFor();
    await next();
    assert.equal(
      await page.getByLabel("E-mail").inputValue(),
      world.root.email,
      "nothing typed is lost by the browser's Back",
    );
    await page
      .getByLabel("Password", { exact: true })
      .fill(world.root.password);
    await page.getByLabel("Password again").fill(world.root.password);
    await look(page, "administrator");
    await next();

    await page.getByRole("heading", { name: "Review" }).waitFor();
    await page.getByText(`${world.root.name} (${world.root.email})`).waitFor();
    await look(page, "review");
    await page.getByRole("button", { name: "Set up" }).dblclick();

    await page
      .getByRole("heading", { name: "Store the recovery kit" })
      .waitFor({ timeout: 60_000 });
    const kit = await page
      .getByRole("region", { name: "Recovery kit" })
      .textContent();
    assert.ok(kit.length > 40);
    const go = page.getByRole("button", { name: "Open Palisade" });
    assert.equal(await go.isDisabled(), true, "the kit must be stored first");
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "Download" }).click(),
    ]);
    assert.equal(await readFile(await download.path(), "utf8"), kit);
    await look(page, "kit");
    await page.getByLabel("I have stored it").check();
    await go.click();
    await page.getByRole("heading", { name: "Tenants", exact: true }).waitFor();
    assert.deepEqual(unexpected(complaints), []);
  },
);

test("after the set-up the wizard is gone", async (t) => {
  const { context, page } = await visit();
  t.after(() => context.close());
  await page.goto("/setup");
  await page.waitForURL("**/login");
});
