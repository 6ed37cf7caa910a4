/** Prometheus' own checks of metrics, alerts and configuration. They need `promtool` (Debian package `prometheus`). */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { addressText } from "../../src/config/config.ts";
import { Platypus } from "../../src/server/platypus.ts";
import { TextClient } from "../support/clients/text-client.ts";
import { KeptLog } from "../support/fakes/kept-log.ts";
import { nativeConfig } from "../support/rigs/native-config.ts";

const isMissing = spawnSync("promtool", ["--version"]).error !== undefined;
const fileOf = (name: string) => fileURLToPath(new URL(`../../deploy/prometheus/${name}`, import.meta.url));

/** Runs promtool. Returns its messages; they are empty if it has no objection. */
function promtool(args: readonly string[], input = ""): { status: number | null; messages: string } {
  const { status, stdout, stderr } = spawnSync("promtool", args, { input, encoding: "utf8" });
  return { status, messages: `${stdout}${stderr}` };
}

describe.skipIf(isMissing)("promtool", () => {
  it("has no objection to /metrics", async () => {
    const toml = `[server]
admin = "127.0.0.1:0"
[get.hello]
match = "hello/(.*)"
source = "greeting"
[source.greeting]
type = "echo"
`;
    const platypus = await Platypus.start(nativeConfig(toml), { log: new KeptLog().log });
    try {
      const [address] = platypus.addresses;
      const client = await TextClient.connect(address!.type === "tcp" ? address!.port : 0);
      await client.ask("get hello/a none", "END\r\n");
      client.close();
      const text = await (await fetch(`http://${addressText(platypus.adminAddress!)}/metrics`)).text();
      expect(promtool(["check", "metrics"], text)).toEqual({ status: 0, messages: "" });
    } finally {
      await platypus.close();
    }
  });

  it("accepts the alerts", () => {
    const { status, messages } = promtool(["check", "rules", fileOf("alerts.yml")]);
    expect(status, messages).toBe(0);
  });

  it("accepts the scrape configuration", () => {
    const { status, messages } = promtool(["check", "config", fileOf("prometheus.yml")]);
    expect(status, messages).toBe(0);
  });
});
