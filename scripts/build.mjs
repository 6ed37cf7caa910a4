/**
 * Builds `dist/`, which the package runs, from `src/`. npm calls it as `prepare`, also for an installation from git. Runs on
 * Node 20 or newer.
 */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, rmSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const compiler = path.join(root, "node_modules", ".bin", "tsc");

if (!existsSync(compiler)) {
  // npm install --omit=dev in a checkout: there is nothing to build with, and `dist/` may have been built before.
  const isInstall = process.env.npm_lifecycle_event === "prepare" && process.env.npm_command !== "pack";
  if (isInstall) process.exit(0);
  process.stderr.write("build: the TypeScript compiler is not installed; run `npm install` first\n");
  process.exit(1);
}
rmSync(path.join(root, "dist"), { recursive: true, force: true });
const { status } = spawnSync(compiler, ["-p", "tsconfig.build.json"], { cwd: root, stdio: "inherit" });
if (status !== 0) process.exit(status ?? 1);
cpSync(path.join(root, "src/observe/admin/page"), path.join(root, "dist/observe/admin/page"), { recursive: true });
