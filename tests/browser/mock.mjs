// Owns the start of the mock API from the shell: `npm run mock`, then `npm run dev` in assets/.
import { startMock } from "./mock/server.mjs";

const port = Number(process.env.PORT ?? 8787);
const demo = !process.argv.includes("--fresh");
const { url, setupCode } = await startMock({ port, demo, heartbeats: true });
console.log(
  `The mock listens on ${url}${demo ? "" : `, waiting for the set-up code ${setupCode}`}`,
);
if (demo) {
  console.log(
    "Tenant user:          ana@nordbank.example / correct horse battery staple",
  );
  console.log(
    "Reads only:           vic@nordbank.example / correct horse battery staple",
  );
  console.log(
    "Expired password:     eva@nordbank.example / correct horse battery staple",
  );
  console.log(
    "System administrator: root@palisade.example / correct horse battery staple",
  );
}
