// Owns users, teams, roles, assignments and API keys, as an administrator of a tenant uses them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { as, fillLogin, visit, world } from "../support/world.mjs";

let invitation = "";

test("a user is invited by a link that is shown once, and joins", async () => {
  await as(world.admin, async (page) => {
    await page.goto("/users");
    await page.getByRole("button", { name: "Invite user" }).click();
    await page.getByLabel("Name").fill(world.viewer.name);
    await page.getByLabel("E-mail").fill("no-address");
    await page.getByRole("button", { name: "Get the link" }).click();
    await page.getByText("Enter an e-mail address").waitFor();
    await page.getByLabel("E-mail").fill(world.viewer.email);
    await page.getByRole("button", { name: "Get the link" }).click();
    invitation = (
      await page.getByRole("region", { name: "link" }).textContent()
    ).trim();
    await page.getByRole("button", { name: "Done" }).click();
    await page.locator(".badge", { hasText: "Invited" }).waitFor();
  });
  const { context, page } = await visit();
  await page.goto(invitation);
  await page
    .getByLabel("Password", { exact: true })
    .fill(world.viewer.password);
  await page.getByLabel("Password again").fill(world.viewer.password);
  await page.getByRole("button", { name: "Set password" }).click();
  await page.waitForURL("**/login?*");
  await context.close();
});

test("a role is made from permissions, and what changes is shown before it is saved", () =>
  as(world.admin, async (page) => {
    await page.goto("/roles");
    await page.getByRole("button", { name: "Create role" }).click();
    await page.getByLabel("Name").fill("Fleet reader");
    await page
      .getByRole("button", { name: "Create, then choose permissions" })
      .click();
    await page.getByRole("heading", { name: "Fleet reader" }).waitFor();
    await page.getByRole("checkbox", { name: /^cluster\.list/ }).check();
    await page.getByRole("checkbox", { name: /^cluster\.get/ }).check();
    await page.getByText("+ cluster.get, cluster.list").waitFor();
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("No changes yet.").waitFor();
  }));

test("a built-in role cannot be edited", () =>
  as(world.admin, async (page) => {
    await page.goto("/roles");
    await page
      .getByRole("row")
      .filter({ hasText: "Built" })
      .first()
      .getByRole("link")
      .click();
    await page.getByText("Built-in roles cannot be changed.").waitFor();
    assert.equal(await page.getByRole("checkbox").count(), 0);
  }));

test("a team gets a member and a role in a project", () =>
  as(world.admin, async (page) => {
    await page.goto("/teams");
    await page.getByRole("button", { name: "Create team" }).first().click();
    await page.getByLabel("Name").fill("Operations");
    await page.getByRole("button", { name: "Create", exact: true }).click();
    await page.getByRole("heading", { name: "Operations" }).waitFor();
    await page.getByRole("button", { name: "Add member" }).click();
    await page
      .getByLabel("User")
      .selectOption({ label: `${world.viewer.name} (${world.viewer.email})` });
    await page.getByRole("button", { name: "Add", exact: true }).click();
    await page.getByRole("link", { name: world.viewer.name }).waitFor();
    await page.getByRole("button", { name: "Assign role" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Role").selectOption({ label: "Fleet reader" });
    await dialog
      .getByLabel("Where")
      .selectOption({ label: "Project Payments Europe" });
    await dialog.getByRole("button", { name: "Assign" }).click();
    await page.getByRole("cell", { name: "Project Payments Europe" }).waitFor();
  }));

test("the page of a user says why the user may, and why not", () =>
  as(world.admin, async (page) => {
    await page.goto("/users");
    await page.getByRole("link", { name: world.viewer.name }).click();
    await page.getByText("In project Payments Europe").waitFor();
    await page.getByLabel("Permission").selectOption("cluster.get");
    await page
      .getByLabel("Where")
      .selectOption({ label: "Project Payments Europe" });
    await page.getByRole("button", { name: "Explain" }).click();
    await page.locator(".badge", { hasText: /^Allowed/ }).waitFor();
    await page
      .getByRole("listitem")
      .getByText("through team Operations")
      .waitFor();
    await page.getByLabel("Permission").selectOption("cluster.delete");
    await page.getByRole("button", { name: "Explain" }).click();
    await page.locator(".badge", { hasText: "Not allowed" }).waitFor();
  }));

test("somebody who may only read sees only what works", () =>
  as(world.viewer, async (page) => {
    await page.goto("/clusters");
    await page
      .getByRole("heading", { name: "Clusters", exact: true })
      .waitFor();
    assert.equal(
      await page.getByRole("button", { name: "Import cluster" }).count(),
      0,
    );
    assert.equal(
      await page
        .locator("#navigation")
        .getByRole("link", { name: "Users" })
        .count(),
      0,
    );
  }));

test('assignments are listed, and "who can" answers', () =>
  as(world.admin, async (page) => {
    await page.goto("/assignments");
    await page.getByRole("cell", { name: "Operations (team)" }).waitFor();
    await page.getByLabel("Permission").selectOption("cluster.delete");
    await page.getByRole("button", { name: "List users" }).click();
    await page.getByRole("cell", { name: world.admin.email }).waitFor();
  }));

test("an API key shows its secret once and can be revoked", () =>
  as(world.admin, async (page) => {
    await page.goto("/api-keys");
    await page.getByRole("button", { name: "Create API key" }).click();
    await page.getByLabel("Name").fill("nightly-report");
    await page.getByRole("button", { name: "Create", exact: true }).click();
    const secret = await page
      .getByRole("region", { name: "API key" })
      .textContent();
    assert.ok(secret.length > 20);
    await page.getByRole("button", { name: "I have stored it" }).click();
    assert.equal(await page.getByText(secret).count(), 0);
    await page.getByRole("button", { name: "Revoke nightly-report" }).click();
    await page
      .getByRole("dialog")
      .getByRole("button", { name: "Revoke" })
      .click();
    await page.getByText("no longer works").waitFor();
    await page
      .getByRole("cell", { name: "nightly-report" })
      .waitFor({ state: "detached" });
  }));

test("a disabled user cannot log in, an enabled one can", async () => {
  const setState = (action) =>
    as(world.admin, async (page) => {
      await page.goto("/users");
      await page.getByRole("link", { name: world.viewer.name }).click();
      await page.getByRole("button", { name: action }).click();
      await page
        .getByRole("dialog")
        .getByRole("button", { name: action })
        .click();
      await page
        .locator(".badge", {
          hasText: action === "Disable" ? "Disabled" : "Active",
        })
        .waitFor();
    });
  await setState("Disable");
  const { context, page } = await visit();
  await page.goto("/login");
  await fillLogin(page, world.viewer);
  await page.getByRole("alert").waitFor();
  await context.close();
  await setState("Enable");
  await as(
    world.viewer,
    async (page) => page.getByRole("heading", { level: 1 }).waitFor(),
    { fresh: true },
  );
});
