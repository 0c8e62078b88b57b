// Owns the audit pages: filters in the address, paging, one record, export, chain.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { screenshot, settled } from "../support/checks.mjs";
import { as, world } from "../support/world.mjs";

test("the audit is filtered by a click, and the filter is in the address", () =>
  as(world.admin, async (page) => {
    await page.goto("/audit");
    await settled(page);
    for (const colorScheme of ["dark", "light"]) {
      await page.emulateMedia({ colorScheme });
      await screenshot(page, `audit-${colorScheme}`);
    }
    // Which actions are on the first page depends on how much has happened since.
    const filter = page.locator("tbody button.mono").first();
    const action = (await filter.textContent()).trim();
    await filter.click();
    await page.waitForURL(`**/audit?action=${action}`);
    await page.waitForFunction(
      (action) =>
        [...document.querySelectorAll("tbody tr")].every((row) =>
          row.textContent.includes(action),
        ),
      action,
    );
    await page.reload();
    await page
      .getByRole("link", { name: /^20\d\d-/ })
      .first()
      .click();
    await page.getByRole("heading", { name: action }).waitFor();
    await page.getByText(world.admin.name).first().waitFor();
  }));

test("the audit is exported as CSV with the filters of the page", () =>
  as(world.admin, async (page) => {
    await page.goto("/audit?action=project.create");
    await settled(page);
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("link", { name: "CSV" }).click(),
    ]);
    const rows = (await readFile(await download.path(), "utf8"))
      .trim()
      .split("\n");
    assert.ok(rows.length >= 2);
    assert.ok(
      rows.slice(1).every((row) => row.includes("project.create")),
      rows.join("\n"),
    );
  }));

test("the chain of records is verified on the page", () =>
  as(world.admin, async (page) => {
    await page.goto("/audit");
    await page.getByRole("button", { name: "Verify the chain" }).click();
    await page.getByText(/The chain of all .* records is whole/).waitFor();
  }));

test("paging goes forward and back by the address", () =>
  as(world.admin, async (page) => {
    await page.goto("/audit");
    await page.getByText(/^1–50 of/).waitFor();
    await page.getByRole("button", { name: "Next" }).click();
    await page.waitForURL("**page=2*");
    await page.getByText(/^51–\d+ of/).waitFor();
    await page.getByRole("button", { name: "Previous" }).click();
    await page.waitForURL((url) => !url.search.includes("cursor"));
    await page.getByText(/^1–50 of/).waitFor();
  }));

test("a user is called by name in the audit, and the record of the log-in by what it is", () =>
  as(world.admin, async (page) => {
    await page.goto("/audit?action=auth.login&outcome=success");
    await page
      .getByRole("row")
      .filter({ hasText: "auth.login" })
      .getByRole("button", { name: world.admin.name })
      .first()
      .waitFor();
  }));
