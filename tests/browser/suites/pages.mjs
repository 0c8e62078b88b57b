// Owns what every page must pass: axe in light and dark, no overflow at 320 px, a silent console.
import { test } from "node:test";
import {
  assertAccessible,
  assertNoOverflow,
  screenshot,
  settled,
} from "../support/checks.mjs";
import { as, call, visit, world } from "../support/world.mjs";

/** The first object of a list, as a path; nothing where the list is empty. */
async function first(page, list) {
  const { body } = await call(page, "GET", `/${list}?limit=1`);
  return body.items[0] ? [`/${list}/${body.items[0].uid}`] : [];
}

const TENANT = [
  "/overview",
  "/clusters",
  "/clusters?q=nothing-like-this",
  "/projects",
  "/users",
  "/teams",
  "/roles",
  "/assignments",
  "/api-keys",
  "/audit",
  "/settings",
  "/help",
  "/help/roles",
  "/help/metrics",
  "/help/doctor",
  "/no-such-page",
];
const SYSTEM = [
  "/tenants",
  "/users",
  "/teams",
  "/roles",
  "/assignments",
  "/api-keys",
  "/audit",
  "/platform",
  "/health",
  "/nodes",
  "/updates",
  "/certificate",
  "/keys",
  "/settings",
];

async function sweep(page, scope, paths) {
  for (const path of paths) {
    const what = `${scope} ${path}`;
    await page.goto(path);
    await settled(page);
    const name = what
      .replace(/[0-9a-f]{12}$/, "one")
      .replace(/[^a-z0-9]+/gi, "-");
    await assertAccessible(page, `${what} in light`);
    await screenshot(page, `page-${name}-light`);
    await page.emulateMedia({ colorScheme: "dark" });
    await assertAccessible(page, `${what} in dark`, ["color-contrast"]);
    await screenshot(page, `page-${name}-dark`);
    await page.emulateMedia({ colorScheme: "light" });
    await page.setViewportSize({ width: 320, height: 700 });
    await assertNoOverflow(page, what);
    await assertAccessible(page, `${what} at 320 px`);
    await screenshot(page, `narrow-${name}`);
    await page.setViewportSize({ width: 1280, height: 800 });
  }
}

test(
  "each page of a tenant is accessible, fits 320 px and says nothing in the console",
  { timeout: 300_000 },
  () =>
    as(world.admin, async (page) => {
      await page.goto("/overview");
      await settled(page);
      const objects = (
        await Promise.all(
          ["clusters", "users", "teams", "roles", "audit"].map((list) =>
            first(page, list),
          ),
        )
      ).flat();
      await sweep(page, "tenant", [...TENANT, ...objects]);
    }),
);

test(
  "each page of the system is accessible, fits 320 px and says nothing in the console",
  { timeout: 300_000 },
  () =>
    as(world.root, async (page) => {
      await page.goto("/tenants");
      await settled(page);
      await sweep(page, "system", [
        ...SYSTEM,
        ...(await first(page, "tenants")),
      ]);
    }),
);

test("the pages before the log-in are accessible and fit 320 px", async (t) => {
  const { context, page } = await visit();
  t.after(() => context.close());
  await sweep(page, "nobody", ["/login", "/system", "/invite#token=none"]);
});

test(
  "dialogs, menu and palette are accessible in light and dark",
  { timeout: 120_000 },
  () =>
    as(world.admin, async (page) => {
      const open = {
        "import dialog": async () => {
          await page.goto("/clusters");
          await page.getByRole("button", { name: "Import cluster" }).click();
          await page.getByLabel("Name").waitFor();
        },
        "user menu": async () => {
          await page.goto("/overview");
          await page.getByRole("button", { name: /user menu/ }).click();
        },
        palette: async () => {
          await page.goto("/overview");
          await settled(page);
          await page.keyboard.press("Control+k");
          await page.getByRole("combobox", { name: /Page/ }).waitFor();
        },
        navigation: async () => {
          await page.setViewportSize({ width: 320, height: 700 });
          await page.goto("/overview");
          await page.getByRole("button", { name: "Navigation" }).click();
        },
      };
      for (const [what, show] of Object.entries(open)) {
        for (const colorScheme of ["light", "dark"]) {
          await page.emulateMedia({ colorScheme });
          await show();
          await assertAccessible(page, `${what} in ${colorScheme}`);
          await screenshot(page, `${what.replace(" ", "-")}-${colorScheme}`);
        }
      }
    }),
);
