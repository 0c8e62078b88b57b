// Owns the page of updates. The answers are made here: what stands behind them is tested where the appliance is.
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import {
  assertAccessible,
  assertNoOverflow,
  settled,
} from "../support/checks.mjs";
import { as, world } from "../support/world.mjs";

const IDLE = {
  version: "1.1.0",
  other: "1.0.0",
  trial: false,
  last: null,
  progress: null,
  uploaded: null,
};
const NOTES = "Faster.\n\n* A longer line that explains what is new.\n";
const OFFER = { version: "1.2.0", released: "2026-11-22", notes: NOTES };
const last = (result, message) => ({
  version: "1.2.0",
  from: "1.1.0",
  at: "2026-11-22T05:28:26Z",
  result,
  message,
  notes: NOTES,
});

/** Lets the page see `state`, which the test changes, and notes what is asked for. */
async function pretend(page, state) {
  const asked = [];
  await page.route("**/v1/platform/updates**", async (route) => {
    const request = route.request();
    const what = new URL(request.url()).pathname.split("/").pop();
    if (request.method() === "GET") return route.fulfill({ json: state.now });
    asked.push(what);
    return state.answer(what, route);
  });
  return asked;
}

test("without the image of an appliance the page says so", () =>
  as(world.root, async (page) => {
    await page.goto("/updates");
    await page.getByRole("heading", { name: "Not an appliance" }).waitFor();
    await assertAccessible(page, "updates elsewhere");
  }));

test("an update is uploaded, installed and started, and the page finds the appliance again", () =>
  as(world.root, async (page) => {
    const file = join(world.appliance.directory, "palisade-1.2.0.update");
    await writeFile(file, Buffer.alloc(300_000, 7));
    let started = "2026-11-22T05:00:00Z";
    await page.route("**/v1/platform", (route) =>
      route.fulfill({
        json: {
          version: "1.1.0",
          startedAt: started,
          uptimeSeconds: 5,
          ready: true,
          checks: [],
        },
      }),
    );
    const state = {
      now: IDLE,
      answer(what, route) {
        if (what === "upload") {
          state.now = { ...IDLE, uploaded: OFFER };
          return route.fulfill({ json: OFFER });
        }
        if (what === "install") {
          const progress = {
            step: "unpacking",
            percent: 40,
            running: true,
            version: "1.2.0",
            failure: null,
            hint: null,
          };
          state.now = { ...IDLE, progress };
          return route.fulfill({ status: 202 });
        }
        return route.fulfill({ status: 202, json: { version: "1.2.0" } });
      },
    };
    const asked = await pretend(page, state);
    await page.goto("/updates");
    await settled(page);
    await page.getByLabel(/Update file/).setInputFiles(file);
    await page.getByRole("button", { name: "Upload and check" }).click();
    await page.getByText("1.2.0 is available").waitFor();
    await page.getByText("A longer line that explains").waitFor();
    await page.getByRole("button", { name: "Install 1.2.0" }).click();
    await page.getByText("Unpacking (1.2.0): 40 %").waitFor();
    await assertAccessible(page, "updates while installing");
    await page.reload();
    await page.getByText("Unpacking (1.2.0): 40 %").waitFor();

    const message = "1.2.0 is installed and starts with the next restart.";
    state.now = { ...IDLE, other: "1.2.0", last: last("waiting", message) };
    await page.getByText(message).waitFor();
    await page.getByRole("button", { name: "Restart into 1.2.0" }).click();
    await page
      .getByRole("dialog")
      .getByRole("button", { name: "Restart now" })
      .click();
    await page.getByText("back in about a minute; this page").waitFor();
    await assertAccessible(page, "updates while restarting");
    state.now = {
      ...IDLE,
      version: "1.2.0",
      other: "1.1.0",
      last: last("good", "1.2.0 was installed over 1.1.0 and is good."),
    };
    started = "2026-11-22T06:00:00Z";
    await page
      .getByText("1.2.0 was installed over 1.1.0 and is good.")
      .waitFor();
    assert.deepEqual(asked, ["upload", "install", "restart"]);
  }));

test("a refused file, the mirror's answer and a roll-back read as what they are", () =>
  as(world.root, async (page) => {
    const file = join(world.appliance.directory, "other.update");
    await writeFile(file, "no update");
    const rolledBack =
      "1.2.0 failed its health check twice and 1.1.0 runs again.";
    const state = {
      now: { ...IDLE, last: last("rolledBack", rolledBack) },
      answer: (what, route) =>
        what === "check"
          ? route.fulfill({ json: { upToDate: true, offer: null } })
          : route.fulfill({
              status: 422,
              contentType: "application/problem+json",
              json: {
                title: "Unprocessable Entity",
                status: 422,
                code: "update-unknown-key",
                detail:
                  "The update is signed by a key that this appliance does not trust.",
                requestId: "1",
              },
            }),
    };
    await pretend(page, state);
    await page.goto("/updates");
    await page.getByText(rolledBack).waitFor();
    await page.getByText("Rolled back").waitFor();
    await page.getByRole("button", { name: "Check for updates" }).click();
    await page.getByText("Up to date: the mirror has nothing newer").waitFor();
    await page.getByLabel(/Update file/).setInputFiles(file);
    await page.getByRole("button", { name: "Upload and check" }).click();
    await page.getByText("this appliance does not trust").waitFor();
    await assertAccessible(page, "updates with outcomes");
    await page.setViewportSize({ width: 320, height: 700 });
    await assertNoOverflow(page, "updates");
    await assertAccessible(page, "updates at 320 px");
  }));
