// Owns what every page must pass: axe, no horizontal overflow, screenshots on request.
import assert from "node:assert/strict";
import { mkdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const AXE = await readFile(
  createRequire(import.meta.url).resolve("axe-core/axe.min.js"),
  "utf8",
);
export const SCREENS = join(
  dirname(fileURLToPath(import.meta.url)),
  "../../output/screens",
);
await mkdir(SCREENS, { recursive: true });

/** Waits until the page has a heading and nothing says "Loading…". */
export async function settled(page) {
  await page.locator("h1").first().waitFor();
  await page.waitForFunction(
    () =>
      ![...document.querySelectorAll("main p")].some(
        (text) => text.textContent === "Loading…",
      ),
  );
  await page.evaluate(() => document.fonts.ready);
}

const ALL = [
  "wcag2a",
  "wcag2aa",
  "wcag21a",
  "wcag21aa",
  "wcag22aa",
  "best-practice",
];

/** `rules` names what can have changed since everything was looked at. */
export async function assertAccessible(page, what, rules = ALL) {
  // Evaluated from outside, so the page's content security policy stays as it is.
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(
    (runOnly) =>
      globalThis.axe.run(document, {
        runOnly,
        resultTypes: ["violations"],
      }),
    rules,
  );
  const text = violations
    .map(
      ({ id, help, nodes }) =>
        `${id}: ${help}\n${nodes.map((node) => `  ${node.html}\n    ${node.failureSummary}`).join("\n")}`,
    )
    .join("\n");
  assert.ok(violations.length === 0, `${what} is not accessible:\n${text}`);
}

export async function assertNoOverflow(page, what) {
  const wide = await page.evaluate(() => {
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= width) return [];
    return [...document.querySelectorAll("body *")]
      .filter((element) => element.getBoundingClientRect().right > width + 1)
      .slice(0, 5)
      .map((element) => element.outerHTML.slice(0, 120));
  });
  assert.ok(
    wide.length === 0,
    `${what} is wider than the window:\n${wide.join("\n")}`,
  );
}

export const screenshot = (page, name) =>
  page.screenshot({
    path: join(SCREENS, `${name}.png`),
    animations: "disabled",
  });
