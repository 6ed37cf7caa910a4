import { describe, expect, it } from "vitest";
import { addressText } from "../../../src/config/config.ts";
import { UsageError } from "../../../src/errors.ts";
import {
  isMcrouterCommandLine,
  McrouterOptions,
  parseMcrouterArguments,
} from "../../../src/mcrouter/config/options.ts";
import { treeConfig } from "../../support/rigs/tree-config.ts";

const given = (...args: string[]) => Object.fromEntries(parseMcrouterArguments(args).given);
const optionsOf = (...args: string[]) => new McrouterOptions(parseMcrouterArguments(args).given);

describe("mcrouter's command line", () => {
  it("takes values after a blank, an equals sign, or the option's letter", () => {
    expect(given("--port", "5000", "--config-file=/etc/a=b.json", "-t250", "-R", "/a/b/")).toEqual({
      ports: "5000",
      config_file: "/etc/a=b.json",
      server_timeout_ms: "250",
      default_route: "/a/b/",
    });
  });

  it("uses the last of several values", () => {
    expect(given("-p", "1", "--port=2")).toEqual({ ports: "2" });
  });

  it("has toggles that invert their default, or take an explicit value", () => {
    const isOn = (name: string, ...args: string[]) => optionsOf(...args).toggle(name);
    expect([isOn("enable_flush_cmd"), isOn("enable_flush_cmd", "--enable-flush-cmd")]).toEqual([false, true]);
    expect([isOn("enable_failure_logging"), isOn("enable_failure_logging", "--disable-failure-logging")]).toEqual([
      true,
      false,
    ]);
    const said = ["1", "true", "0", "false"].map((text) => isOn("enable_flush_cmd", `--enable-flush-cmd=${text}`));
    expect(said).toEqual([true, true, false, false]);
    expect([isOn("miss_on_get_errors"), isOn("miss_on_get_errors", "--disable-miss-on-get-errors")]).toEqual([
      true,
      false,
    ]);
  });

  it("accepts abbreviated names, if only one name fits", () => {
    expect(given("--server-tim=5", "--asynclog-d")).toEqual({ server_timeout_ms: "5", asynclog_disable: "1" });
    expect(parseMcrouterArguments(["--c", "x"]).notes).toEqual(["unknown option --c, left out"]);
  });

  it("reports and ignores unknown options", () => {
    const { notes, words, given: all } = parseMcrouterArguments(["--no-such=1", "-Zq", "-p", "5"]);
    expect([notes, words, [...all]]).toEqual([
      ["unknown option --no-such=1, left out", "unknown option -Z, left out", "unknown option -q, left out"],
      [],
      [["ports", "5"]],
    ]);
  });

  it("reports options that have no effect", () => {
    expect(parseMcrouterArguments(["--fibers-stack-size=1", "--thread-affinity"]).notes).toEqual([
      "--fibers-stack-size is accepted and has no effect in Platypus",
      "--thread-affinity is accepted and has no effect in Platypus",
    ]);
  });

  it("ends at two dashes, and other words name mcrouter's flavor", () => {
    expect(parseMcrouterArguments(["-p", "5", "flavor.json", "--", "-t", "9"])).toMatchObject({
      words: ["flavor.json", "-t", "9"],
      given: new Map([["ports", "5"]]),
    });
  });

  it("can request help, the version, or a check", () => {
    const wants = (...args: string[]) => parseMcrouterArguments(args).wants;
    expect([wants("-h"), wants("--help"), wants("-V"), wants("--version")]).toEqual([
      "help",
      "help",
      "version",
      "version",
    ]);
    expect([
      wants("--validate-config"),
      wants("--validate-config=exit"),
      wants("--validate-config=run"),
      wants("-p", "1"),
    ]).toEqual(["validate", "validate", "run", "run"]);
  });

  it("requires a value if the option takes one", () => {
    expect(() => parseMcrouterArguments(["-p"])).toThrow(new UsageError("-p needs a value"));
    expect(() => parseMcrouterArguments(["--server-timeout"])).toThrow(
      new UsageError("--server-timeout needs a value"),
    );
  });

  it("is recognized by the options that only mcrouter has", () => {
    const told = (...args: string[]) => isMcrouterCommandLine(args);
    expect([
      told("-p", "5000"),
      told("-f", "x"),
      told("-p5000"),
      told("--port=5"),
      told("--route-prefix", "/a/b/"),
    ]).toEqual(Array(5).fill(true));
    expect([told("--config", "x"), told("--listen", "x"), told("--help"), told()]).toEqual(Array(4).fill(false));
  });
});

describe("values of options", () => {
  it("default to mcrouter's defaults", () => {
    const options = optionsOf();
    expect([
      options.integer("server_timeout_ms"),
      options.text("default_route"),
      options.integer("probe_delay_initial_ms"),
    ]).toEqual([1000, "/././", 10_000]);
    expect(options.all().get("server_timeout_ms")).toBe("1000");
    expect(options.all().get("asynclog_disable")).toBe("0");
  });

  it("are all reported at once if they are unusable", () => {
    const options = optionsOf("-t", "soon", "--enable-flush-cmd=maybe", "--config-params", "novalue");
    options.integer("server_timeout_ms", 1);
    options.toggle("enable_flush_cmd");
    options.configParams();
    expect(() => options.end()).toThrow(
      new UsageError(
        [
          '--server-timeout: expected a whole number from 1 on, got "soon"',
          '--enable-flush-cmd: expected 1, 0, true or false, got "maybe"',
          '--config-params: expected name:value, got "novalue"',
        ].join("\n"),
      ),
    );
  });

  it("from --additional-config-params override those from --config-params", () => {
    const options = optionsOf("--config-params=a:1,b:2:3", "--additional-config-params=a:9");
    expect([...options.configParams()]).toEqual([
      ["a", "9"],
      ["b", "2:3"],
    ]);
  });
});

describe("options that change a configuration", () => {
  const document = { pools: { A: { servers: ["10.0.0.1:1"] } }, route: "PoolRoute|A" };

  it("set the listeners", async () => {
    const listens = async (options: Record<string, string>) =>
      (await treeConfig(document, options)).server.listen.map(addressText);
    expect(await listens({ ports: "5000,5001" })).toEqual(["[::]:5000", "[::]:5001"]);
    expect(await listens({ ports: "5000", listen_addresses: "127.0.0.1,::1" })).toEqual([
      "127.0.0.1:5000",
      "[::1]:5000",
    ]);
    expect(await listens({ ports: "5000", ssl_ports: "5443", listen_addresses: "127.0.0.1" })).toEqual([
      "127.0.0.1:5000",
      "tls:127.0.0.1:5443",
    ]);
    expect(await listens({ unix_domain_sock: "/run/m.sock" })).toEqual(["unix:/run/m.sock"]);
    await expect(listens({ ports: "5000,0,x" })).rejects.toThrow(/--port: expected ports from 1 to 65535, got "0"/);
  });

  it("set timeouts and health checks", async () => {
    const { pools } = await treeConfig(document, {
      server_timeout_ms: "50",
      failures_until_tko: "5",
      probe_delay_initial_ms: "100",
      probe_delay_max_ms: "900",
    });
    expect(pools[0]).toMatchObject({
      serverTimeoutMs: 50,
      health: { timeoutsUntilTko: 5, firstProbeMs: 100, lastProbeMs: 900 },
    });
    const never = await treeConfig(document, { disable_tko_tracking: "1" });
    expect(never.pools[0]!.health.timeoutsUntilTko).toBeNull();
    const old = await treeConfig(document, { retry_timeout: "77" });
    expect(old.pools[0]!.health.firstProbeMs).toBe(77);
  });

  it("set the errors that clients see", async () => {
    const rootOf = async (options: Record<string, string>) => (await treeConfig(document, options)).mcrouter!.root;
    expect(await rootOf({})).toMatchObject({
      sendsInvalidToDefault: false,
      allowsOnlyGets: false,
      groupsRemoteErrors: false,
      showsGetErrors: false,
      showsArithmeticErrors: false,
    });
    expect(
      await rootOf({ miss_on_get_errors: "0", miss_on_arith_errors: "0", group_remote_errors: "1" }),
    ).toMatchObject({
      showsGetErrors: true,
      showsArithmeticErrors: true,
      groupsRemoteErrors: true,
    });
    const flushing = await treeConfig(document, { enable_flush_cmd: "1" });
    expect([(await treeConfig(document)).server.isFlushAllAllowed, flushing.server.isFlushAllAllowed]).toEqual([
      false,
      true,
    ]);
  });

  it("set the parameters of the configuration", async () => {
    const text = '{ "pools": { "A": { "servers": ["%host%:%mcr_opts-server_timeout_ms%"] } }, "route": "PoolRoute|A" }';
    const { pools } = await treeConfig(text, { config_params: "host:cache.example", server_timeout_ms: "777" });
    expect(pools[0]!.servers.map(({ address }) => addressText(address))).toEqual(["cache.example:777"]);
  });

  it("are refused as a whole if they are unusable", async () => {
    await expect(treeConfig(document, { default_route: "/a/" })).rejects.toThrow(
      /--route-prefix: expected \/region\/cluster\//,
    );
  });
});
