// Owns tenants from the side of the system: create, invite, suspend, and that the scopes stay apart.
import assert from "node:assert/strict";
import { test } from "node:test";
import { assertAccessible } from "../support/checks.mjs";
import { as, fillLogin, visit, world } from "../support/world.mjs";

let invitation = "";

test("a wrong password is refused in words, and the e-mail stays", async (t) => {
  const { context, page } = await visit();
  t.after(() => context.close());
  await page.goto("/system");
  await fillLogin(page, { ...world.root, password: "not this one at all" });
  await page.getByRole("alert").waitFor();
  assert.equal(await page.getByLabel("E-mail").inputValue(), world.root.email);
  await assertAccessible(page, "refused log-in");
});

test("a system administrator creates a tenant and gets an invitation once", () =>
  as(world.root, async (page) => {
    await page.goto("/tenants");
    await page.getByText("No tenants yet").waitFor();
    await page.getByRole("button", { name: "Create tenant" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Name", { exact: true }).fill(world.tenant.name);
    assert.equal(
      await dialog.getByLabel("Short name").inputValue(),
      world.tenant.slug,
      "the short name follows the name",
    );
    await dialog.getByLabel("Name of the administrator").fill(world.admin.name);
    await dialog
      .getByLabel("E-mail of the administrator")
      .fill(world.admin.email);
    await dialog.getByRole("button", { name: "Create tenant" }).click();
    const link = page.getByRole("region", { name: "link" });
    invitation = (await link.textContent()).trim();
    await page.getByRole("button", { name: "Copy link" }).click();
    await page.getByText("Copied").first().waitFor();
    await page.getByRole("button", { name: "Done" }).click();
    await page.getByRole("link", { name: world.tenant.name }).click();
    await page.getByRole("heading", { name: world.tenant.name }).waitFor();
  }));

test("the invited administrator chooses a password and logs in with it", async (t) => {
  const { context, page } = await visit();
  t.after(() => context.close());
  await page.goto(invitation);
  await page
    .getByRole("heading", { name: `Join ${world.tenant.name}` })
    .waitFor();
  await assertAccessible(page, "invitation");
  await page.getByLabel("Password", { exact: true }).fill(world.admin.password);
  await page.getByLabel("Password again").fill(`${world.admin.password}!`);
  await page.getByRole("button", { name: "Set password" }).click();
  await page.getByText("The two passwords differ.").waitFor();
  await page.getByLabel("Password again").fill(world.admin.password);
  await page.getByRole("button", { name: "Set password" }).click();
  await page.waitForURL("**/login?*");
  await fillLogin(page, world.admin);
  await page.getByRole("heading", { name: "Overview" }).waitFor();
});

test("an invitation works once", async (t) => {
  const { context, page } = await visit();
  t.after(() => context.close());
  await page.goto(invitation);
  await page.getByText("A link works once").waitFor();
});

test("a deep link survives the log-in", async (t) => {
  const { context, page } = await visit();
  t.after(() => context.close());
  await page.goto("/clusters?phase=healthy");
  await page.waitForURL("**/login?next=*");
  await fillLogin(page, world.admin);
  await page.waitForURL("**/clusters?phase=healthy");
});

test("a tenant user sees nothing of the system scope", () =>
  as(world.admin, async (page) => {
    await page.goto("/tenants");
    await page.getByText("This page is not for your account").waitFor();
    assert.equal(
      await page
        .locator("#navigation")
        .getByRole("link", { name: "Tenants" })
        .count(),
      0,
    );
  }));

test("a suspended tenant says so, and can be resumed", () =>
  as(world.root, async (page) => {
    await page.goto("/tenants");
    await page.getByRole("button", { name: "Create tenant" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Name", { exact: true }).fill("Short Lived");
    await dialog.getByLabel("Name of the administrator").fill("Nobody");
    await dialog
      .getByLabel("E-mail of the administrator")
      .fill("nobody@short.example");
    await dialog.getByRole("button", { name: "Create tenant" }).click();
    await page.getByRole("button", { name: "Done" }).click();
    await page.getByRole("link", { name: "Short Lived" }).click();
    await page.getByRole("button", { name: "Suspend" }).click();
    await page
      .getByRole("dialog")
      .getByRole("button", { name: "Suspend" })
      .click();
    await page.locator(".badge", { hasText: "Suspended" }).waitFor();
    await page.getByRole("button", { name: "Resume" }).click();
    await page
      .getByRole("dialog")
      .getByRole("button", { name: "Resume" })
      .click();
    await page.locator(".badge", { hasText: "Active" }).waitFor();

    await page.getByRole("button", { name: "Delete" }).click();
    const confirm = page
      .getByRole("dialog")
      .getByRole("button", { name: "Delete tenant" });
    assert.equal(
      await confirm.isDisabled(),
      true,
      "the name must be typed first",
    );
    await page.getByLabel("Type short-lived to confirm").fill("short-lived");
    await confirm.click();
    await page.waitForURL("**/tenants");
    await page.getByRole("link", { name: world.tenant.name }).waitFor();
    assert.equal(
      await page.getByRole("link", { name: "Short Lived" }).count(),
      0,
    );
  }));
