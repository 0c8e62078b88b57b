// Owns what the suites share: the appliance, who was made in it, and logging in as them.
import { Appliance } from "./appliance.mjs";
import { newPage, startBrowser, unexpected } from "./browser.mjs";

const PASSWORD = "seven calm herons at dusk";

export const world = {
  appliance: new Appliance(),
  url: "",
  browser: null,
  root: {
    name: "Robin Okafor",
    email: "robin@palisade.example",
    password: PASSWORD,
    path: "/system",
  },
  admin: {
    name: "Ana Keller",
    email: "ana@nordbank.example",
    password: PASSWORD,
    path: "/login",
  },
  viewer: {
    name: "Victor Lindqvist",
    email: "victor@nordbank.example",
    password: PASSWORD,
    path: "/login",
  },
  tenant: { name: "Nordbank", slug: "nordbank" },
};

export async function startWorld() {
  await world.appliance.prepare();
  await world.appliance.start();
  world.url = world.appliance.url;
  world.browser = await startBrowser();
}

export async function stopWorld() {
  await Promise.all([world.browser?.close(), world.appliance.remove()]);
}

/** A page of nobody. */
export const visit = (options) => newPage(world.browser, world.url, options);

export async function logIn(page, who) {
  await page.goto(who.path);
  await fillLogin(page, who);
  await page.locator("#navigation").waitFor({ state: "attached" });
}

export async function fillLogin(page, who, within = page) {
  const email = within.getByLabel("E-mail");
  if (await email.isEditable()) await email.fill(who.email);
  await within.getByLabel("Password", { exact: true }).fill(who.password);
  await within.getByRole("button", { name: "Log in", exact: true }).click();
}

/**
 * Runs `work` with a page where `who` is logged in; fails on any console error of ours.
 * `options.refused` is the status of an answer that `work` makes up.
 */
export async function as(who, work, options = {}) {
  const fresh = options.fresh || !who.storage;
  const { context, page, complaints } = await visit({
    ...options,
    ...(fresh ? {} : { storageState: who.storage }),
  });
  try {
    // Who cannot log in once is not worth the patience of every test that follows.
    if (who.refused) throw who.refused;
    if (fresh)
      await logIn(page, who).catch((error) => {
        who.refused = who.storage ? undefined : error;
        throw error;
      });
    if (!options.fresh) who.storage ??= await context.storageState();
    await work(page, context);
    const wrong = unexpected(complaints).filter(
      (text) => !text.includes(`status of ${options.refused} `),
    );
    if (wrong.length > 0)
      throw new Error(`The console complains:\n${wrong.join("\n")}`);
  } finally {
    await page.unrouteAll({ behavior: "ignoreErrors" });
    await context.close();
  }
}

/** Calls the API as the page does; for what a test needs but does not test. */
export const call = (page, method, path, body, headers = {}) =>
  page.evaluate(
    async ([method, path, body, headers]) => {
      const response = await fetch(`/v1${path}`, {
        method,
        headers: {
          "Content-Type": "application/json",
          ...(method === "POST"
            ? { "Idempotency-Key": crypto.randomUUID() }
            : {}),
          ...headers,
        },
        ...(body ? { body: JSON.stringify(body) } : {}),
      });
      const text = await response.text();
      return { status: response.status, body: text ? JSON.parse(text) : null };
    },
    [method, path, body, headers],
  );
