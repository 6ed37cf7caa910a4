// Runs an example: npm run example rails. It starts what the example needs on free ports of this machine, and stops all of it.
import { existsSync } from "node:fs";

const names = ["rails", "fleet", "sidecar", "library"];
const [name = "", ...others] = process.argv.slice(2);
if (!names.includes(name) || others.length > 0) {
  console.error(`usage: npm run example NAME, with NAME one of ${names.join(", ")}`);
  process.exit(2);
}
const missing = { rails: "/usr/bin/ruby", sidecar: "/usr/sbin/nutcracker" }[name];
for (const program of ["/usr/bin/memcached", ...(missing === undefined ? [] : [missing])]) {
  if (existsSync(program)) continue;
  console.error(`${program} is missing; npm run setup installs it on Debian`);
  process.exit(1);
}
await import(`./${name}/run.mjs`);
