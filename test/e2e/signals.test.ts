/** Signals of the programs that Platypus takes the place of: none ends, suspends or opens the process. */
import { describe, expect, it } from "vitest";
import { MemcachedProcess } from "../support/memcached-process.ts";
import { PlatypusProcess } from "../support/platypus-process.ts";
import { TextClient } from "../support/text-client.ts";

describe("a process that serves", () => {
  for (const workers of [1, 2]) {
    it(`goes on after SIGTTIN, SIGTTOU, SIGUSR1 and SIGUSR2, with ${workers} workers`, async ({ onTestFinished }) => {
      const memcached = await MemcachedProcess.start();
      onTestFinished(() => memcached.stop());
      const server = `[server]\nlisten = "127.0.0.1:0"\nworkers = ${workers}\nlog_level = "warn,serve=info,workers=info"\n`;
      const platypus = await PlatypusProcess.start(`${server}[target]\nservers = ["127.0.0.1:${memcached.port}"]\n`);
      onTestFinished(() => platypus.stop());
      for (const level of ["info", "debug", "debug"]) {
        platypus.child.kill("SIGTTIN");
        await platypus.printed(new RegExp(`SIGTTIN: the level of the log is ${level}`));
      }
      platypus.child.kill("SIGTTOU");
      await platypus.printed(/SIGTTOU: the level of the log is info/);
      platypus.child.kill("SIGUSR1");
      await platypus.printed(/SIGUSR1 has no effect/);
      platypus.child.kill("SIGUSR2");
      await platypus.printed(workers === 1 ? /SIGUSR2 has no effect/ : /all workers are replaced/);
      expect(platypus.stderr).not.toContain("Debugger listening");
      const client = await TextClient.connect(platypus.port);
      onTestFinished(() => client.close());
      expect(await client.ask("version")).toMatch(/^VERSION/);
      platypus.child.kill("SIGTERM");
      expect(await platypus.exit()).toBe(0);
    });
  }
});
