// Owns the pages about the appliance itself: settings, certificate, keys, platform.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  assertAccessible,
  assertNoOverflow,
  settled,
} from "../support/checks.mjs";
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

/** What the node of an appliance would say. */
const CHECKS = {
  checkedAt: "2026-11-22T12:00:00Z",
  doctor: {
    healthy: false,
    findings: [
      {
        severity: "error",
        what: "The default gateway 192.0.2.1 does not answer.",
        evidence: ["192.0.2.1 on eth0: nobody has this address"],
        next: "Check address, prefix and gateway on the console, F2 Network.",
        consequences: [
          { what: "DNS does not answer: 198.51.100.53.", next: "" },
        ],
      },
    ],
    unseen: ["the clock: it took more than 3 s"],
    text: "PROBLEM  The default gateway 192.0.2.1 does not answer.",
  },
  hardening: {
    passed: 1,
    failed: 1,
    notApplicable: 0,
    score: 50,
    summary: "2 checks: 1 passed, 1 failed, 0 not applicable; score 50 %",
    items: [
      {
        number: "1.1",
        group: "File systems",
        title: "The root is read-only and verified with every read",
        reason: "Nobody can leave anything behind in the system.",
        fix: "Start an unaltered image.",
        level: 1,
        outcome: "pass",
        evidence: "erofs on dm-verity, read-only",
      },
      {
        number: "3.10",
        group: "Kernel",
        title: "The kernel stops when it has lost its way",
        reason: "After a fault nothing it says can be believed.",
        fix: "Restart the appliance, which sets it again.",
        level: 2,
        outcome: "fail",
        evidence: "kernel.panic_on_oops = 0 instead of 1",
      },
    ],
    text: "FAIL 3.10 The kernel stops when it has lost its way",
  },
};

test("health and hardening shows causes and checks, filters and saves them", () =>
  as(
    world.root,
    async (page) => {
      let asked = 0;
      await page.route("**/v1/platform/checks", (route) => {
        asked += 1;
        // The first look takes longer than a request may.
        return asked === 1
          ? route.fulfill({
              status: 503,
              headers: { "Retry-After": "1" },
              contentType: "application/problem+json",
              json: { code: "still-looking", title: "Unavailable", detail: "" },
            })
          : route.fulfill({ json: CHECKS });
      });
      await page.goto("/health");
      await page.getByText("The default gateway 192.0.2.1").waitFor();
      await page.getByText("Follows: DNS does not answer").waitFor();
      await page.getByText("kernel.panic_on_oops = 0 instead of 1").waitFor();
      await settled(page);
      await assertAccessible(page, "health with findings");
      await page.setViewportSize({ width: 320, height: 700 });
      await assertNoOverflow(page, "health with findings");
      await page.setViewportSize({ width: 1280, height: 800 });
      await page.getByLabel("Show").selectOption("fail");
      await page
        .getByText("The root is read-only")
        .waitFor({ state: "detached" });
      assert.match(page.url(), /show=fail/);
      const [download] = await Promise.all([
        page.waitForEvent("download"),
        page.getByRole("button", { name: "JSON" }).click(),
      ]);
      assert.equal(download.suggestedFilename(), "palisade-checks.json");
    },
    { refused: 503 },
  ));

test("health and hardening says that this is no appliance", () =>
  as(world.root, async (page) => {
    await page.goto("/health");
    await page.getByText("This machine looks after itself").waitFor();
  }));
