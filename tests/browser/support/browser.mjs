// Owns the browser of the tests: one Chromium, contexts that remember every console error and policy violation.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export async function startBrowser() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: FLAGS,
  });
}

/** A fresh context and page. `complaints` fills with console errors, page errors and policy violations. */
export async function newPage(
  browser,
  url,
  { width = 1280, height = 800, dark = false, ...options } = {},
) {
  const context = await browser.newContext({
    baseURL: url,
    ignoreHTTPSErrors: true,
    viewport: { width, height },
    colorScheme: dark ? "dark" : "light",
    reducedMotion: "reduce",
    acceptDownloads: true,
    ...options,
  });
  await context.grantPermissions(["clipboard-read", "clipboard-write"], {
    origin: url,
  });
  const page = await context.newPage();
  // Generous, so that a busy machine fails no test.
  page.setDefaultTimeout(30_000);
  const complaints = [];
  page.on(
    "console",
    (message) =>
      message.type() === "error" &&
      complaints.push(`${page.url()}: ${message.text()}`),
  );
  page.on("pageerror", (error) =>
    complaints.push(`${page.url()}: ${error.message}`),
  );
  return { context, page, complaints };
}

/** What a refused request leaves in the console is the browser's note of it, not a fault of ours. */
export const unexpected = (complaints) =>
  complaints.filter(
    (text) =>
      !/Failed to load resource: .* (401|403|404|409|412|422|429)/.test(text),
  );

export async function temporaryFolder() {
  const path = await mkdtemp(join(tmpdir(), "palisade-browser-"));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}
