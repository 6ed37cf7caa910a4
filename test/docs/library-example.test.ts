/** The program of docs/library.md runs, and does what its comments say. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { TextClient } from "../support/clients/text-client.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

it("the program of docs/library.md serves its keys and ends on SIGTERM", async () => {
  const text = await readFile(path.join(root, "docs/library.md"), "utf8");
  const program = /```ts\n([\s\S]*?)```/.exec(text)![1]!;
  const folder = await mkdtemp(path.join(tmpdir(), "platypus-library-"));
  try {
    const file = path.join(folder, "program.ts");
    const own = program.replace('"platypus-proxy"', JSON.stringify(path.join(root, "src/index.ts")));
    await writeFile(file, own.replace("127.0.0.1:11212", "127.0.0.1:0"));
    const child = spawn(process.execPath, [file], { stdio: ["ignore", "pipe", "inherit"] });
    let printed = "";
    child.stdout.setEncoding("utf8").on("data", (piece: string) => {
      printed += piece;
    });
    try {
      await expect.poll(() => printed, { timeout: 10_000 }).toMatch(/connect to .*\n(.*)\n/);
      expect(printed).toContain("\ngone\n");
      const client = await TextClient.connect(Number(/:(\d+)\n/.exec(printed)![1]));
      const reply = await client.ask("get user/1 price/7 hello/you user/9", "END\r\n");
      const values = [...reply.matchAll(/VALUE .*\r\n(.*)\r\n/g)].map(([, value]) => value);
      expect(values).toEqual(["Ada Lovelace", "70 cents", "hello you"]);
      client.socket.destroy();
      child.kill("SIGTERM");
      const [code] = (await once(child, "exit")) as [number];
      expect(code).toBe(0);
    } finally {
      child.kill("SIGKILL");
    }
  } finally {
    await rm(folder, { recursive: true });
  }
}, 20_000);
