// Owns watching one cluster in the list of a real appliance, for the tests that have a real cluster as well:
//   PALISADE_URL=… WATCH_EMAIL=… WATCH_PASSWORD=… node watch.mjs NAME PHASE…
// Says "watching", and a line with the phase and its reasons as soon as the page shows the next of the phases.
// The page is loaded once: what it shows later comes from live updates.
import { startBrowser } from "./support/browser.mjs";
import { as, world } from "./support/world.mjs";

const { PALISADE_URL, WATCH_EMAIL, WATCH_PASSWORD } = process.env;
const [name, ...phases] = process.argv.slice(2);
const who = { email: WATCH_EMAIL, password: WATCH_PASSWORD, path: "/login" };
const PATIENCE = 120_000;

world.url = PALISADE_URL;
world.browser = await startBrowser();
try {
  await as(who, async (page) => {
    await page.goto("/clusters");
    await page.getByText("Live", { exact: true }).waitFor();
    await page.evaluate(() => (globalThis.untouched = true));
    const row = page
      .getByRole("row")
      .filter({ has: page.getByRole("link", { name, exact: true }) });
    await row.waitFor();
    console.log("watching");
    for (const phase of phases) {
      await row
        .locator(".badge", { hasText: phase })
        .waitFor({ timeout: PATIENCE });
      const reasons = await row
        .locator("[title]")
        .filter({ has: page.locator(".badge") })
        .evaluateAll((found) => found.map((element) => element.title));
      console.log([phase, ...reasons].join("\t").replaceAll("\n", " "));
    }
    if (!(await page.evaluate(() => globalThis.untouched)))
      throw new Error("The page was loaded again.");
  });
} finally {
  await world.browser.close();
}
