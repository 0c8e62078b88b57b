// Owns starting simulated agents: `palisade simulate` against a real appliance, the mock's own otherwise.
import { spawn } from "node:child_process";
import { world } from "./world.mjs";

/** Starts `clusters` agents; answers a function that stops them. */
export async function simulate(clusters, token) {
  if (!world.real) {
    await fetch(`${world.url}/mock/simulate`, {
      method: "POST",
      body: JSON.stringify({ clusters, token }),
    });
    return () => undefined;
  }
  const binary = process.env.PALISADE_BIN;
  if (!binary) throw new Error("PALISADE_BIN must name the palisade binary.");
  const ca = process.env.PALISADE_CA ? ["--ca", process.env.PALISADE_CA] : [];
  const child = spawn(
    binary,
    [
      "simulate",
      "--clusters",
      String(clusters),
      "--url",
      world.url,
      "--token",
      token,
      ...ca,
    ],
    { stdio: ["ignore", "inherit", "inherit"] },
  );
  return () => child.kill("SIGTERM");
}
