/** The package as users get it: packed, installed in an empty folder, used as a command and as a library. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { packageVersion } from "../../src/version.ts";
import { TextClient } from "../support/clients/text-client.ts";
import { freePort } from "../support/servers/memcached-process.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const INSTALL_TIMEOUT_MS = 180_000;

/** The part of npm's lock file that is looked at (npm's documentation of package-lock.json). */
interface Lock {
  readonly packages: Readonly<Record<string, { version: string; dev?: boolean; optional?: boolean }>>;
}
async function readLock(file: string): Promise<Lock> {
  return JSON.parse(await readFile(file, "utf8")) as Lock;
}

const quiet = ["--no-audit", "--no-fund", "--loglevel=error"];

describe("the npm package", () => {
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "platypus-package-"));
    execFileSync("npm", ["pack", "--pack-destination", folder, ...quiet], { cwd: root, stdio: "pipe" });
    const [packed] = await readdir(folder);
    await writeFile(path.join(folder, "package.json"), '{"name": "user", "type": "module"}');
    execFileSync("npm", ["install", "--prefer-offline", ...quiet, `./${packed}`], { cwd: folder, stdio: "pipe" });
  }, INSTALL_TIMEOUT_MS);

  afterAll(() => rm(folder, { recursive: true, force: true }));

  it("pins the tested versions: unpacked, npm ci installs them", async () => {
    const unpacked = path.join(folder, "unpacked");
    await mkdir(unpacked);
    const [packed] = (await readdir(folder)).filter((name) => name.endsWith(".tgz"));
    execFileSync("tar", ["-xzf", path.join(folder, packed!), "--strip-components=1", "-C", unpacked]);
    execFileSync("npm", ["ci", "--prefer-offline", "--omit=dev", ...quiet], { cwd: unpacked, stdio: "pipe" });
    const lock = await readLock(path.join(root, "package-lock.json"));
    const installed = await readLock(path.join(unpacked, "node_modules/.package-lock.json"));
    const wanted = Object.entries(lock.packages).filter(
      ([name, { dev, optional }]) => name !== "" && !dev && !optional,
    );
    expect(wanted.length).toBeGreaterThan(10);
    for (const [name, { version }] of wanted) {
      expect(`${name} ${installed.packages[name]?.version}`).toBe(`${name} ${version}`);
    }
    expect(Object.values(installed.packages).some(({ dev }) => dev)).toBe(false);
  });

  it("has its licence and no source map without its source", async () => {
    const own = path.join(folder, "node_modules/platypus-proxy");
    const files = await readdir(own, { recursive: true });
    expect(files).toContain("LICENSE");
    expect(files.filter((name) => name.endsWith(".map"))).toEqual([]);
    const script = 'import own from "platypus-proxy/package.json" with { type: "json" }; console.log(own.version);';
    const args = ["--input-type=module", "-e", script];
    expect(execFileSync(process.execPath, args, { cwd: folder, encoding: "utf8" })).toBe(`${packageVersion}\n`);
  });

  it("has at most 60 packages in production", async () => {
    const { packages } = await readLock(path.join(folder, "node_modules/.package-lock.json"));
    expect(Object.keys(packages).length).toBeLessThanOrEqual(60);
  });

  it("has the platypus command", () => {
    const bin = path.join(folder, "node_modules/.bin/platypus");
    expect(execFileSync(process.execPath, [bin, "--version"], { encoding: "utf8" })).toBe(
      `platypus ${packageVersion}\n`,
    );
    const config = path.join(folder, "node_modules/platypus-proxy/config/quickstart.toml");
    expect(execFileSync(process.execPath, [bin, "check", config], { encoding: "utf8" })).toContain("no problems");
  });

  it("runs the default of its command without a file", async () => {
    const port = await freePort();
    const bin = path.join(folder, "node_modules/.bin/platypus");
    const admin = await freePort();
    const child = spawn(process.execPath, [bin, "--listen", `127.0.0.1:${port}`], {
      cwd: folder,
      env: {
        ...process.env,
        PLATYPUS_SERVER_ADMIN: `127.0.0.1:${admin}`,
        // Another test may run the quickstart at the same time.
        PLATYPUS_SOURCE_ORIGIN_URL: `http://127.0.0.1:${await freePort()}/quickstart/{1}`,
      },
    });
    const ended = once(child, "exit");
    try {
      let output = "";
      child.stdout.setEncoding("utf8");
      while (!output.includes("Try:")) output += (await once(child.stdout, "data"))[0];
      const client = await TextClient.connect(port);
      expect(await client.ask("get quickstart/hello", "END\r\n")).toContain("VALUE quickstart/hello 0");
      client.close();
      for (const path of ["", "page.css", "page.js", "tables.js", "icon.svg", "uplot.js", "uplot.css"]) {
        expect((await fetch(`http://127.0.0.1:${admin}/${path}`)).status, path).toBe(200);
      }
    } finally {
      child.kill("SIGTERM");
      await ended;
    }
  });

  it("is a library with types", async () => {
    const program = `import { createPlatypus, type Getter } from "platypus-proxy";
import { connect } from "node:net";
const getter: Getter = ({ captures }) => \`value of \${captures[1]}\`;
const platypus = createPlatypus({ logLevel: "error" }).get("key/(.*)", getter, { ttl: "60s" });
const [address] = await platypus.listen("127.0.0.1:0");
const client = connect(Number(address!.split(":")[1]), "127.0.0.1");
client.write("get key/one\\r\\n");
client.once("data", async (data) => {
  console.log(String(data));
  client.destroy();
  await platypus.close();
});
`;
    const file = path.join(folder, "program.ts");
    await writeFile(file, program);
    expect(execFileSync(process.execPath, [file], { cwd: folder, encoding: "utf8" })).toContain("value of one");
    const types = path.join(root, "node_modules/@types");
    const options = {
      module: "nodenext",
      target: "es2024",
      strict: true,
      noEmit: true,
      types: ["node"],
      typeRoots: [types],
    };
    await writeFile(
      path.join(folder, "tsconfig.json"),
      JSON.stringify({ compilerOptions: options, files: ["program.ts"] }),
    );
    const tsc = path.join(root, "node_modules/.bin/tsc");
    expect(execFileSync(tsc, ["-p", folder], { encoding: "utf8" })).toBe("");
    // A program without Node's types, whose compiler checks the types of its packages too.
    const alone = `import { createPlatypus, type LibraryStats, type ManyGetter } from "platypus-proxy";
const getter: ManyGetter = (requests) => requests.map(({ key }) => key);
const platypus = createPlatypus({ telemetry: { keys: "full" }, logger: ({ message }) => message.length })
  .getMany("a", getter, { batch: { max: 3 } })
  .source("echo", { type: "echo" })
  .rule("rule", "b", "echo", { ttl: "60s" })
  .on("failed", ({ rule, error }) => [rule, error]);
export const stats: () => LibraryStats = () => platypus.stats();
`;
    await writeFile(path.join(folder, "alone.ts"), alone);
    const strict = { ...options, types: [], lib: ["es2024", "dom"], skipLibCheck: false };
    await writeFile(path.join(folder, "alone.json"), JSON.stringify({ compilerOptions: strict, files: ["alone.ts"] }));
    expect(execFileSync(tsc, ["-p", path.join(folder, "alone.json")], { encoding: "utf8" })).toBe("");
    await writeFile(file, program.replace('ttl: "60s"', "ttl: 60"));
    expect(() => execFileSync(tsc, ["-p", folder], { encoding: "utf8", stdio: "pipe" })).toThrow();
  });
});
