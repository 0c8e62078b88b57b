// Owns the pages about the appliance itself: settings, certificate, keys, platform.
import assert from "node:assert/strict";
import { test } from "node:test";
import { as, world } from "../support/world.mjs";

test("the password policy shows what changes before it is saved", () =>
  as(world.admin, async (page) => {
    await page.goto("/settings");
    await page.getByLabel("Characters at least").fill("16");
    await page.getByText("Min length: 15 → 16").waitFor();
    await page.getByRole("button", { name: "Save policy" }).click();
    await page.getByText("The password policy was saved.").waitFor();
    await page.getByText("No changes yet.").waitFor();
  }));

test("a wrong certificate is refused at its fields", () =>
  as(world.root, async (page) => {
    await page.goto("/certificate");
    await page.getByRole("button", { name: "Import certificate" }).click();
    await page.getByLabel("Certificate chain (PEM)").fill("no certificate");
    await page
      .getByLabel("Private key (PEM, without passphrase)")
      .fill("no key");
    await page.getByRole("button", { name: "Check and use" }).click();
    await page.locator('textarea[aria-invalid="true"]').first().waitFor();
  }));

test("the authority can be downloaded", () =>
  as(world.root, async (page) => {
    await page.goto("/certificate");
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("link", { name: "Download" }).click(),
    ]);
    assert.equal(download.suggestedFilename(), "palisade-ca.pem");
  }));

test("the signing key is rotated and the session goes on", () =>
  as(world.root, async (page) => {
    await page.goto("/keys");
    const before = await page.getByRole("row").count();
    await page.getByRole("button", { name: "Rotate" }).last().click();
    await page
      .getByRole("dialog")
      .getByRole("button", { name: "Rotate signing key" })
      .click();
    await page.getByText("The signing key was rotated.").waitFor();
    assert.ok((await page.getByRole("row").count()) >= before);
    await page.goto("/platform");
    await page.getByRole("heading", { name: "Platform" }).waitFor();
    await page.getByRole("cell", { name: "Store", exact: true }).waitFor();
  }));
