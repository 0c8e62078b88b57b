// Owns a past for the clusters: a day of measurements, as the server would have written them had it run for a day.
import { world } from "./world.mjs";

const SCRIPT = `
import json, math, random, sqlite3, sys, time
random.seed(7)
db = sqlite3.connect(sys.argv[1], timeout=30)
minute = int(time.time()) // 60 * 60
unit = 1_000_000
rows = []
for tenant, cluster, name, point in db.execute(
    "SELECT s.tenant_id, s.cluster_id, c.id, s.point FROM cluster_statistic s JOIN cluster c ON c.id = s.cluster_id "
    "GROUP BY s.cluster_id HAVING s.at = max(s.at)").fetchall():
    now = json.loads(point)
    phase, drift = random.random(), 0.0
    for back in range(1, 24 * 60):
        at = minute - back * 60
        drift = 0.97 * drift + random.gauss(0, 0.012)
        day = 0.5 + 0.28 * math.sin((at % 86400) / 86400 * 2 * math.pi - 1.9 + phase / 2) + drift
        load = min(0.95, max(0.08, day))
        then = dict(now)
        then["cpuUsedMillis"] = int(now["cpuAllocatableMillis"] * load)
        then["memoryUsedBytes"] = int(now["memoryAllocatableBytes"] * (0.42 + load / 4))
        then["podsRunning"] = int(now["podsRunning"] * (0.8 + load / 4))
        then["podsPending"] = random.choice([0, 0, 0, 1, 2])
        then["apiLatencyMs"] = random.randint(4, 18)
        rows.append((tenant, cluster, at * unit, json.dumps(then)))
db.executemany("INSERT OR IGNORE INTO cluster_statistic (tenant_id, cluster_id, at, point) VALUES (?, ?, ?, ?)", rows)
db.commit()
print(len(rows))
`;

/** Gives every cluster with a measurement the day before it; answers how many measurements that made. */
export async function remember() {
  const { stdout } = await world.appliance.onDatabase(SCRIPT);
  return Number(stdout);
}
