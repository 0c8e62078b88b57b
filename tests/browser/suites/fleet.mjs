// Owns projects and clusters: create, import, live updates, lists in the address, one cluster's page.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { screenshot, settled } from "../support/checks.mjs";
import { remember } from "../support/history.mjs";
import { as, call, world } from "../support/world.mjs";

/** Twelve clusters: eight are well, three are in trouble, and one is about to fall silent. */
const FLEET = [
  { prefix: "branch", project: "Retail", clusters: 8, "degraded-percent": 0 },
  {
    prefix: "plant",
    project: "Factories",
    clusters: 3,
    "degraded-percent": 100,
  },
  {
    prefix: "kiosk",
    project: "Kiosks",
    clusters: 1,
    "degraded-percent": 0,
    nodes: 1,
  },
];
let silence = () => undefined;

async function apiKey(page) {
  const { status, body } = await call(page, "POST", "/api-keys", {
    name: "simulation",
    expiresInDays: 1,
  });
  assert.equal(status, 201);
  return body.secret;
}

/** Waits until `wanted` rows of the list say `phase`. */
const rows = (page, phase, wanted, timeout = 90_000) =>
  page.waitForFunction(
    ([phase, wanted]) =>
      [...document.querySelectorAll("td .badge")].filter(
        (badge) => badge.textContent.trim() === phase,
      ).length === wanted,
    [phase, wanted],
    { timeout },
  );

test("an empty fleet says what to do next", () =>
  as(world.admin, async (page) => {
    await page.goto("/overview");
    await page.getByText("No clusters yet").waitFor();
    await page.getByRole("link", { name: "Import a cluster" }).click();
    await page.getByRole("link", { name: "Create a project first" }).click();
    await page
      .getByRole("dialog")
      .getByRole("heading", { name: "Create project" })
      .waitFor();
  }));

test("a project is created, and a second of the same name is refused at the field", () =>
  as(world.admin, async (page) => {
    await page.goto("/projects");
    for (const again of [false, true]) {
      await page.getByRole("button", { name: "Create project" }).click();
      const dialog = page.getByRole("dialog");
      await dialog.getByLabel("Name").fill("Payments");
      await dialog.getByLabel("Description").fill("Card payments in Europe");
      // An impatient double click makes one project.
      await dialog
        .getByRole("button", { name: "Create", exact: true })
        .dblclick({ noWaitAfter: true });
      if (again)
        await dialog
          .locator('[role="alert"], [aria-invalid="true"]')
          .first()
          .waitFor();
      else
        await page
          .getByRole("cell", { name: "Payments", exact: true })
          .waitFor();
    }
  }));

test("the import dialog shows a command that can be copied", () =>
  as(world.admin, async (page) => {
    await page.goto("/clusters");
    await page.getByRole("button", { name: "Import cluster" }).click();
    await page.getByLabel("Name").fill("payments-eu-1");
    await page.getByRole("button", { name: "Get the command" }).click();
    const command = await page
      .getByRole("region", { name: "import command" })
      .textContent();
    assert.match(command, /kubectl/);
    await page.getByRole("button", { name: "Copy import command" }).click();
    assert.equal(
      await page.evaluate(() => navigator.clipboard.readText()),
      command,
    );
    await page.getByText("Waiting for the agent to connect").waitFor();
    await screenshot(page, "import-light");
    await page.getByRole("link", { name: "Open the cluster" }).click();
    await page.getByRole("button", { name: "New import command" }).click();
    await page.getByRole("region", { name: "import command" }).waitFor();
  }));

test(
  "clusters appear live, in trouble or not, with no reload",
  { timeout: 180_000 },
  () =>
    as(world.admin, async (page) => {
      await page.goto("/clusters");
      await page.getByText("Live", { exact: true }).waitFor();
      await page.evaluate(() => (window.untouched = true));
      const token = await apiKey(page);
      for (const part of FLEET) silence = world.appliance.simulate(token, part);
      await rows(page, "Healthy", 9);
      await rows(page, "Degraded", 3);
      assert.equal(await page.evaluate(() => window.untouched), true);
    }),
);

test("an agent that falls silent is shown as unreachable, with the reason", () =>
  as(world.admin, async (page) => {
    await page.goto("/clusters");
    await rows(page, "Healthy", 9);
    await silence();
    await rows(page, "Unreachable", 1, 40_000);
    await page.getByRole("link", { name: /^kiosk/ }).click();
    await page
      .getByRole("list", { name: "Reasons" })
      .getByText(/heartbeat/)
      .waitFor();
  }));

test("the overview counts the fleet and says what needs attention", () =>
  as(world.admin, async (page) => {
    await page.goto("/overview");
    await page
      .getByRole("link", { name: /Clusters/ })
      .filter({ hasText: /1\d/ })
      .waitFor();
    await settled(page);
    const attention = page.getByRole("table", { name: /need attention/ });
    assert.equal(await attention.locator("tbody tr").count(), 4);
    assert.match(
      await attention.textContent(),
      /Kubelet stopped|replicas are ready/,
    );
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      await screenshot(page, `overview-${colorScheme}`);
    }
  }));

test("search, filter and order of a list are in the address, and Back undoes them", () =>
  as(world.admin, async (page) => {
    await page.goto("/clusters");
    await settled(page);
    await page.getByLabel("Search clusters").fill("payments");
    await page.waitForURL("**/clusters?*q=payments*");
    await page.getByText("1 matching").waitFor();
    await page.getByRole("button", { name: "Clear" }).click();
    await page.getByLabel("Phase", { exact: true }).selectOption("healthy");
    await page.waitForURL("**phase=healthy*");
    await page.getByRole("button", { name: "Name" }).click();
    await page.waitForURL("**sort=-name*");
    await page.reload();
    await settled(page);
    assert.equal(
      await page.getByLabel("Phase", { exact: true }).inputValue(),
      "healthy",
    );
    await page.locator('th[aria-sort="descending"]').waitFor();
    await page.goBack();
    await page.locator('th[aria-sort="ascending"]').waitFor();
  }));

test(
  "the page of a cluster shows nodes, charts, and the charts as a table",
  { timeout: 120_000 },
  () =>
    as(world.admin, async (page) => {
      await page.goto("/clusters?phase=degraded");
      await page.locator("tbody a").first().click();
      await page.getByRole("heading", { name: /^Nodes/ }).waitFor();
      // The first measurement comes within a minute; a day of them is then made up.
      await page.locator(".uplot").first().waitFor({ timeout: 90_000 });
      assert.ok((await remember()) > 10_000);
      await page.reload();
      await page.locator(".uplot").nth(2).waitFor();
      await settled(page);
      await page.setViewportSize({ width: 1280, height: 1240 });
      for (const colorScheme of ["dark", "light"]) {
        await page.emulateMedia({ colorScheme });
        await screenshot(page, `cluster-${colorScheme}`);
      }
      await page.getByRole("button", { name: "Show as a table" }).click();
      await page.getByRole("columnheader", { name: "CPU used" }).waitFor();
      assert.ok((await page.getByRole("row").count()) > 40);
    }),
);

test("a kubeconfig is stored and comes back as it was", () =>
  as(world.admin, async (page) => {
    const kubeconfig = [
      "apiVersion: v1",
      "kind: Config",
      "clusters: [{name: eu, cluster: {server: 'https://10.0.0.1:6443'}}]",
      "contexts: [{name: eu, context: {cluster: eu, user: admin}}]",
      "current-context: eu",
      "users: [{name: admin, user: {token: not-a-real-one}}]",
      "",
    ].join("\n");
    await page.goto("/clusters?q=payments-eu-1");
    await page.getByRole("link", { name: "payments-eu-1" }).click();
    await page.getByRole("button", { name: "Upload" }).click();
    await page.getByLabel("Or paste it").fill(kubeconfig);
    await page.getByRole("button", { name: "Store" }).click();
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("link", { name: "Download" }).click(),
    ]);
    assert.equal(await readFile(await download.path(), "utf8"), kubeconfig);
  }));

test("an edit of something that changed meanwhile keeps the input and can be saved on top", () =>
  as(world.admin, async (page) => {
    await page.goto("/projects");
    await page.getByRole("button", { name: "Edit Payments" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Name").fill("Payments Europe");
    const { body } = await call(page, "GET", "/projects?q=Payments");
    const project = body.items[0];
    const other = await call(
      page,
      "PATCH",
      `/projects/${project.uid}`,
      { description: "Changed by somebody else" },
      { "If-Match": `"${project.version}"` },
    );
    assert.equal(other.status, 200);
    await dialog.getByRole("button", { name: "Save" }).click();
    await dialog.getByText("Changed meanwhile.").waitFor();
    await dialog
      .getByRole("button", { name: "Load the newest, keep my input" })
      .click();
    await dialog.getByText("Changed meanwhile.").waitFor({ state: "detached" });
    assert.equal(
      await dialog.getByLabel("Name").inputValue(),
      "Payments Europe",
    );
    assert.equal(
      await dialog.getByLabel("Description").inputValue(),
      "Changed by somebody else",
    );
    await dialog.getByRole("button", { name: "Save" }).click();
    await page
      .getByRole("cell", { name: "Payments Europe", exact: true })
      .waitFor();
  }));

test("deleting a cluster asks for its name, and a project with clusters stays", () =>
  as(world.admin, async (page) => {
    await page.goto("/clusters?q=payments-eu-1");
    await page.getByRole("link", { name: "payments-eu-1" }).click();
    await page.getByRole("button", { name: "Delete" }).click();
    const dialog = page.getByRole("dialog");
    assert.equal(
      await dialog.getByRole("button", { name: "Delete cluster" }).isDisabled(),
      true,
    );
    await dialog
      .getByLabel("Type payments-eu-1 to confirm")
      .fill("payments-eu-1");
    await dialog.getByRole("button", { name: "Delete cluster" }).click();
    await page.waitForURL("**/clusters");
    await settled(page);
    assert.equal(
      await page.getByRole("link", { name: "payments-eu-1" }).count(),
      0,
    );
  }));
