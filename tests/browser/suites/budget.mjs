// Owns the size of the built interface, and that it can live under our content security policy.
import assert from "node:assert/strict";
import { readFile, readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const DIST = join(
  dirname(fileURLToPath(import.meta.url)),
  "../../../assets/dist",
);
const KB = 1024;
const size = async (name) => (await stat(join(DIST, name))).size;

test("the first page needs at most 60 KB of compressed JavaScript", async () => {
  const html = await readFile(join(DIST, "index.html"), "utf8");
  const first = [...html.matchAll(/(?:src|href)="\/(assets\/[^"]+\.js)"/g)].map(
    (found) => found[1],
  );
  const files = await readdir(join(DIST, "assets"));
  const login = files
    .filter((name) => /^(Login|LoginForm|Front)-.*\.js$/.test(name))
    .map((name) => `assets/${name}`);
  let total = 0;
  for (const name of new Set([...first, ...login]))
    total += await size(`${name}.br`);
  console.log(
    `# JavaScript before the first page works: ${(total / KB).toFixed(1)} KB brotli`,
  );
  assert.ok(total <= 60 * KB, `${total} bytes`);
});

test("every text file has a brotli and a gzip copy, and none is bigger than the file", async () => {
  const files = (await readdir(DIST, { recursive: true })).filter((name) =>
    /\.(html|js|css|svg)$/.test(name),
  );
  assert.ok(files.length > 10);
  for (const name of files) {
    for (const ending of ["br", "gz"])
      assert.ok(
        (await size(`${name}.${ending}`)) < (await size(name)) + 64,
        `${name}.${ending}`,
      );
  }
});

test("index.html holds no inline script and no inline style", async () => {
  const html = await readFile(join(DIST, "index.html"), "utf8");
  assert.doesNotMatch(html, /<style|\sstyle=|\son\w+=/);
  for (const [, attributes, text] of html.matchAll(
    /<script([^>]*)>([^]*?)<\/script>/g,
  )) {
    assert.match(attributes, /src=/);
    assert.equal(text, "");
  }
  assert.doesNotMatch(html, /https?:\/\//, "nothing comes from another origin");
});
