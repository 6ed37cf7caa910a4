/**
 * Builds build/platypus (`node packaging/build-binary.mjs FOLDER`: FOLDER/platypus): one executable file with Node in it, which needs no Node on the machine (Node's single executable
 * application, doc/api/single-executable-applications.md). The Node inside is the one that runs this script.
 */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { inject } from "postject";

const root = fileURLToPath(new URL("..", import.meta.url));
const [folder = "build"] = process.argv.slice(2);
const out = path.resolve(root, folder);
const bundle = path.join(out, "platypus.cjs");
const blob = path.join(out, "platypus.blob");
const binary = path.join(out, "platypus");
/** Node looks for what was put in by this name (its documentation has it). */
const FUSE = "NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2";

const say = (text) => process.stdout.write(`build:binary: ${text}\n`);

rmSync(out, { recursive: true, force: true });
mkdirSync(out);
say("bundling the code");
await build({
  entryPoints: [path.join(root, "packaging/executable.ts")],
  outfile: bundle,
  bundle: true,
  platform: "node",
  format: "cjs",
  target: "node24",
  // Files are read out of the executable (src/packaged.ts): nothing asks where the code stands.
  define: { "import.meta.url": '"file:///platypus/"' },
  logOverride: { "empty-import-meta": "silent" },
  legalComments: "none",
});

const page = "src/observe/admin/page";
const assets = {
  "package.json": "package.json",
  "config/quickstart.toml": "config/quickstart.toml",
  "config/quickstart/about.txt": "config/quickstart/about.txt",
  "uplot/dist/uPlot.min.css": "node_modules/uplot/dist/uPlot.min.css",
  "uplot/dist/uPlot.iife.min.js": "node_modules/uplot/dist/uPlot.iife.min.js",
};
for (const name of readdirSync(path.join(root, page))) assets[`observe/admin/page/${name}`] = `${page}/${name}`;
const config = path.join(out, "sea.json");
const absolute = Object.fromEntries(Object.entries(assets).map(([name, file]) => [name, path.join(root, file)]));
writeFileSync(
  config,
  JSON.stringify({
    main: bundle,
    output: blob,
    disableExperimentalSEAWarning: true,
    useCodeCache: true,
    assets: absolute,
  }),
);
say(`putting it into Node ${process.version}`);
execFileSync(process.execPath, ["--experimental-sea-config", config], { stdio: ["ignore", "ignore", "inherit"] });
copyFileSync(process.execPath, binary);
chmodSync(binary, 0o755);
await inject(binary, "NODE_SEA_BLOB", readFileSync(blob), { sentinelFuse: FUSE });
for (const file of [bundle, blob, config]) rmSync(file);
say(`${path.relative(process.cwd(), binary)}: ${Math.round(statSync(binary).size / 2 ** 20)} MiB`);
