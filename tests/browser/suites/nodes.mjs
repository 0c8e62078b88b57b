// Owns the page of the nodes. The answers are made here: what stands behind them is tested where the nodes are.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  assertAccessible,
  assertNoOverflow,
  screenshot,
  settled,
} from "../support/checks.mjs";
import { as, world } from "../support/world.mjs";

const CODE = "K7QM-2XWD-9RTB-HN4V";
const ALONE = {
  standing: "alone",
  sentence: "This node works alone.",
  phase: "none",
  own: null,
  virtualAddress: null,
  nodes: [],
  quorum: null,
  lastFailover: null,
  invitation: null,
  progress: null,
  work: null,
  warnings: [],
};

const WORDS = {
  leader: "leads",
  synchronous: "has everything",
  replica: "follows, 3 MiB behind",
};

function node(number, role, more = {}) {
  return {
    name: `n${number}`,
    own: number === 1,
    address: `192.0.2.1${number}`,
    joined: "2026-11-20T05:00:00Z",
    host: null,
    version: "1.1.0",
    silent: null,
    ready: true,
    database: {
      role,
      words: WORDS[role],
      state: "streaming",
      timeline: 3,
      lagBytes: role === "leader" ? null : role === "replica" ? 3145728 : 0,
    },
    etcd: { leader: number === 1, version: "3.5.16", bytes: 2_400_000 },
    clockAheadMs: number === 1 ? 0 : 14,
    certificateUntil: new Date(Date.now() + 80 * 86_400_000).toISOString(),
    ifStopped:
      role === "leader"
        ? "Changes would pause for about 20 seconds, until another database leads."
        : "Nothing would stop. Another failure after it would.",
    ...more,
  };
}

const RUNNING = {
  ...ALONE,
  standing: "good",
  sentence: "Highly available: any one node can fail, and nothing is lost.",
  phase: "running",
  own: "n1",
  virtualAddress: "192.0.2.20",
  nodes: [node(1, "leader"), node(2, "synchronous"), node(3, "synchronous")],
  quorum: { present: 3, members: 3, needed: 2 },
  lastFailover: {
    at: "2026-11-21T14:28:26Z",
    leader: "n1",
    why: "no recovery target specified",
  },
};

const ONE_SILENT = {
  ...RUNNING,
  standing: "degraded",
  sentence: "Not highly available: n3 does not answer.",
  nodes: [
    node(1, "leader"),
    node(2, "replica", {
      clockAheadMs: -3_600_000,
      certificateUntil: new Date(Date.now() + 2 * 86_400_000).toISOString(),
      host: "esx-04.example.com",
    }),
    node(3, "synchronous", {
      silent: "192.0.2.13 does not answer: no route to host.",
      ready: null,
      version: null,
      database: null,
      etcd: null,
      clockAheadMs: null,
      certificateUntil: null,
    }),
  ],
  quorum: { present: 2, members: 3, needed: 2 },
  warnings: [
    "The clock of n1 is 3600.0 s ahead of the one of n2. Give all nodes the same time servers.",
    "n1 and n2 share a failure domain: all run on host esx-04.example.com, and fail with it. Move them to different hosts.",
  ],
};

const joined = (number) =>
  node(number, "replica", {
    database: null,
    etcd: null,
    ifStopped: "Nothing would stop: the cluster does not run yet.",
  });
const FORMING = {
  ...ALONE,
  standing: "forming",
  sentence: "The cluster is forming: 1 of 3 nodes.",
  phase: "forming",
  own: "n1",
  nodes: [joined(1)],
};
const STEPS = {
  ...FORMING,
  sentence: "The nodes are becoming a cluster.",
  nodes: [joined(1), joined(2), joined(3)],
  progress: {
    step: "Making the other databases",
    percent: 40,
    running: true,
    failure: null,
  },
};
const FAILED = {
  ...STEPS,
  standing: "bad",
  sentence:
    "The nodes did not become a cluster; the first one works alone, as before.",
  progress: {
    ...STEPS.progress,
    running: false,
    failure:
      "The database of n3 did not follow within 240 s. Look at the logs of n3, then complete the cluster again.",
  },
};

/** Lets the page see `state.now`, which the test changes, and notes what is asked for. */
async function pretend(page, state) {
  const asked = [];
  await page.route("**/v1/platform/nodes**", async (route) => {
    const request = route.request();
    if (request.method() === "GET")
      return state.now
        ? route.fulfill({ json: state.now })
        : route.fulfill({ status: 503, json: {} });
    const path = new URL(request.url()).pathname.split("/nodes/")[1];
    const what = `${request.method()} ${path}`;
    asked.push([what, request.postDataJSON()]);
    return state.answer(what, route);
  });
  return asked;
}

/** In light, in dark and in a narrow window: accessible, and no wider than it. */
async function looked(page, what) {
  const name = `nodes-${what.replaceAll(" ", "-")}`;
  await assertAccessible(page, `nodes ${what}`);
  await screenshot(page, `${name}-light`);
  await page.emulateMedia({ colorScheme: "dark" });
  await assertAccessible(page, `nodes ${what} in dark`, ["color-contrast"]);
  await screenshot(page, `${name}-dark`);
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 320, height: 700 });
  await assertNoOverflow(page, `nodes ${what}`);
  await assertAccessible(page, `nodes ${what} at 320 px`);
  await screenshot(page, `${name}-narrow`);
  await page.setViewportSize({ width: 1280, height: 800 });
}

test("without the image of an appliance there are no nodes, and the page says so", () =>
  as(world.root, async (page) => {
    await page.goto("/nodes");
    await page.getByRole("heading", { name: "Not an appliance" }).waitFor();
    await assertAccessible(page, "nodes elsewhere");
  }));

test("one node grows to three, with a code, a fingerprint, a failure and another try", () =>
  as(
    world.root,
    async (page) => {
      const state = {
        now: ALONE,
        answer(what, route) {
          if (what !== "POST invite") return route.fulfill({ status: 202 });
          state.now = {
            ...FORMING,
            invitation: { seconds: 600, tries: 5, fingerprint: null },
          };
          const json = { code: CODE, address: "192.0.2.11", seconds: 600 };
          return route.fulfill({ json });
        },
      };
      const asked = await pretend(page, state);
      await page.goto("/nodes");
      await page
        .getByRole("heading", { name: "Grow to three nodes" })
        .waitFor();
      assert.ok((await page.locator("main ol > li").count()) <= 6);
      await looked(page, "alone");
      await page.getByLabel(/Address of the cluster/).fill("192.0.2.20");
      await page.keyboard.press("Enter");
      await page.getByText(CODE, { exact: true }).waitFor();
      await page
        .getByText(`join --address 192.0.2.11 --code ${CODE}`)
        .waitFor();
      await page.getByText(/counts for (10:00|9:5\d)/).waitFor();
      await looked(page, "with a code");

      const fingerprint = "GOLF-4711-KILO-8086";
      state.now.invitation = { seconds: 500, tries: 2, fingerprint };
      await page.getByText(fingerprint).waitFor();
      await page.getByText("2 more wrong codes").waitFor();
      await looked(page, "while one joins");
      state.now = { ...FORMING, nodes: [joined(1), joined(2)] };
      await page
        .getByText(CODE, { exact: true })
        .waitFor({ state: "detached" });

      state.now = STEPS;
      await page.getByText("Making the other databases: 40 %").waitFor();
      await looked(page, "while forming");
      // The management plane of the node stops while the data move.
      state.now = null;
      await page.getByText("this page notices when it is back").waitFor();
      await page.getByText("The first database").waitFor();
      state.now = FAILED;
      await page.getByText("did not follow within 240 s").waitFor();
      await looked(page, "after a failure");
      await page.getByRole("button", { name: "Try again" }).click();
      state.now = RUNNING;
      await page.getByText("any one node can fail").waitFor();
      assert.deepEqual(
        asked.map(([what, body]) => [what, body ?? null]),
        [
          ["POST invite", { begin: true, virtualAddress: "192.0.2.20" }],
          ["POST complete", null],
        ],
      );
    },
    { refused: 503 },
  ));

test("three nodes show their roles, another one leads, and the dead one is taken out", () =>
  as(world.root, async (page) => {
    const working = (what, node, more = {}) => ({
      what,
      node,
      step: "Another database takes over",
      percent: 20,
      endedAt: null,
      failure: null,
      hint: null,
      ...more,
    });
    const state = {
      now: RUNNING,
      answer(what, route) {
        const [kind, about] =
          what === "DELETE n3" ? ["removeNode", "n3"] : ["switchOver", "n2"];
        state.now = { ...state.now, work: working(kind, about) };
        return route.fulfill({ status: 202 });
      },
    };
    const asked = await pretend(page, state);
    await page.goto("/platform");
    await page.getByRole("main").getByRole("link", { name: "Nodes" }).click();
    await page.getByText("any one node can fail").waitFor();
    await page.getByText("3 of 3 nodes agree, 2 are needed").waitFor();
    await page.getByText("192.0.2.20, always at a node that works").waitFor();
    await page.getByText("Has everything").first().waitFor();
    await looked(page, "running");

    await page
      .getByRole("button", { name: "Let another database lead" })
      .click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Which one").selectOption("n2");
    await assertAccessible(page, "nodes with the question who leads");
    await screenshot(page, "nodes-switch-over-light");
    await dialog.getByRole("button", { name: "Let it lead" }).click();
    await page.getByText("Another database takes over: 20 %").waitFor();
    await looked(page, "while another leads");
    const endedAt = new Date().toISOString();
    state.now = { ...RUNNING, work: working("switchOver", "n2", { endedAt }) };
    await page.getByText("n2 leads now.").waitFor();

    state.now = ONE_SILENT;
    await page.getByText("Not highly available: n3 does not answer.").waitFor();
    await page.getByText("no route to host").waitFor();
    await page.getByText("3600.0 s behind").waitFor();
    await page.getByText("Ends soon").waitFor();
    await looked(page, "one silent");
    await page.getByRole("button", { name: "Take out n3" }).click();
    const button = dialog.getByRole("button", { name: "Take it out" });
    assert.ok(await button.isDisabled(), "the name has to be typed");
    await dialog.getByLabel("Type n3 to confirm").fill("n3");
    await assertAccessible(page, "nodes with the question what goes");
    await button.click();
    await page.getByText("Taking n3 out").waitFor();
    const failure = "etcd did not do it.";
    const hint = "Bring another node back first.";
    state.now = {
      ...ONE_SILENT,
      work: working("removeNode", "n3", { endedAt, failure, hint }),
    };
    await page.getByText(failure).waitFor();
    await page.getByText(hint).waitFor();
    assert.deepEqual(asked, [
      ["POST switch-over", { to: "n2" }],
      ["DELETE n3", null],
    ]);
    assert.equal(
      await page.getByRole("button", { name: /Take out n1/ }).count(),
      0,
    );
  }));

test("who may only look sees no buttons, and help opens from the page", () =>
  as(world.root, async (page) => {
    await page.route("**/v1/auth/me", async (route) => {
      const answer = await route.fetch();
      const me = await answer.json();
      me.permissions.tenant = me.permissions.tenant.filter(
        (name) => name !== "platform.update",
      );
      return route.fulfill({ response: answer, json: me });
    });
    await pretend(page, {
      now: { ...RUNNING, nodes: RUNNING.nodes.slice(0, 2) },
    });
    await page.goto("/nodes");
    await page.getByText("192.0.2.12").waitFor();
    const buttons = page.getByRole("main").getByRole("button");
    assert.equal(await buttons.count(), 0);
    await page.getByRole("link", { name: "How to" }).click();
    await page.getByRole("heading", { name: "Replace a dead node" }).waitFor();
    await settled(page);
    await assertAccessible(page, "help about nodes");
    await screenshot(page, "nodes-help-light");
    await page.setViewportSize({ width: 320, height: 700 });
    await assertNoOverflow(page, "help about nodes");
  }));
