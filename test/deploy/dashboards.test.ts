/** Every metric and every label that the dashboard and the alerts name is there, in the text that Prometheus reads. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { addressText } from "../../src/config/config.ts";
import { Platypus } from "../../src/server/platypus.ts";
import { type Family, parsePrometheus } from "../support/clients/prometheus-text.ts";
import { TextClient } from "../support/clients/text-client.ts";
import { nativeConfig, targetOf } from "../support/rigs/native-config.ts";
import { freePort, MemcachedProcess } from "../support/servers/memcached-process.ts";

const read = (path: string) => readFileSync(new URL(`../../deploy/${path}`, import.meta.url), "utf8");

interface Dashboard {
  readonly panels: readonly { readonly title: string; readonly targets?: readonly { readonly expr: string }[] }[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly query: unknown }[] };
}

interface Alerts {
  readonly groups: readonly {
    readonly rules: readonly {
      readonly alert: string;
      readonly expr: string;
      readonly annotations: Readonly<Record<string, string>>;
    }[];
  }[];
}

const dashboard = JSON.parse(read("grafana/platypus.json")) as Dashboard;
const alerts = (parse(read("prometheus/alerts.yml")) as Alerts).groups.flatMap(({ rules }) => rules);
/** Queries of the dashboard's variables: label_values(METRIC{MATCHERS}, LABEL). */
const variables = dashboard.templating.list.flatMap(({ name, query }) => {
  const { query: text = "" } = query as { query?: string };
  const [, expr, label] = /^label_values\((.*), (\w+)\)$/.exec(text) ?? [];
  return expr === undefined ? [] : [{ name, expr, label: label! }];
});
const queries: [what: string, expr: string][] = [
  ...dashboard.panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }): [string, string] => [title, expr])),
  ...alerts.map(({ alert, expr }): [string, string] => [alert, expr]),
];

/** What Prometheus adds by itself. */
const added = ["instance", "job", "le"];
/** Words of PromQL that are used. */
const words = ["sum", "min", "max", "avg", "by", "rate", "increase", "histogram_quantile", "offset"];

/** Metrics that a query names, each with the labels that it wants of it. */
function namesOf(expr: string): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  const plain = expr.replaceAll(/\[[^\]]*\]/g, "");
  const grouped = [...plain.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, list]) => list!.split(/,\s*/));
  const rest = plain.replaceAll(/\bby \([^)]*\)/g, "");
  for (const [, name, matchers = ""] of rest.matchAll(/\b([a-z][a-z0-9_]*)\b(?!["(])(?:\{([^}]*)\})?/g)) {
    if (words.includes(name!) || /^\d/.test(name!) || !name!.includes("_")) continue;
    const labels = [...matchers.matchAll(/([a-z_]+)(?:=~?|!=)"/g)].map(([, label]) => label!);
    const wanted = found.get(name!) ?? new Set();
    for (const label of [...labels, ...grouped]) if (!added.includes(label)) wanted.add(label);
    found.set(name!, wanted);
  }
  return found;
}

let families: Map<string, Family>;
let undo: (() => unknown)[] = [];

beforeAll(async () => {
  const servers = MemcachedProcess.isMissing ? [] : [await MemcachedProcess.start()];
  undo.push(() => Promise.all(servers.map((server) => server.stop())));
  const gone = await freePort();
  const toml = `[server]
admin = "127.0.0.1:0"
${targetOf([...servers.map(({ port }) => port), gone], `discover = "file:/nowhere"`)}
[get.page]
match = "page/(.*)"
source = "page"
[get.broken]
match = "broken/(.*)"
source = "broken"
[source.page]
type = "echo"
[source.broken]
type = "http"
url = "http://127.0.0.1:${gone}/{1}"
`;
  const platypus = await Platypus.start(nativeConfig(toml));
  undo.push(() => platypus.close());
  const [address] = platypus.addresses;
  const client = await TextClient.connect(address!.type === "tcp" ? address!.port : 0);
  undo.push(() => client.close());
  for (let i = 0; i < 10; i++) await client.ask(`get page/${i} broken/${i}`, "END\r\n");
  const text = await (await fetch(`http://${addressText(platypus.adminAddress!)}/metrics`)).text();
  families = parsePrometheus(text);
});

afterAll(async () => {
  for (const step of undo.reverse()) await step();
  undo = [];
});

describe("the files of deploy/", () => {
  it("include a dashboard and alerts with queries", () => {
    expect(queries.length).toBeGreaterThan(50);
    expect(new Set(alerts.map(({ alert }) => alert)).size).toBe(alerts.length);
    // Prometheus itself has `up`: whether it could reach the address.
    for (const [what, expr] of queries)
      expect(namesOf(expr).size + Number(expr.includes("up{")), what).toBeGreaterThan(0);
  });

  it.each(queries)("query existing metrics in %s: %s", (_what, expr) => {
    for (const [name, labels] of namesOf(expr)) {
      const family = families.get(name) ?? families.get(name.replace(/_(bucket|sum|count)$/, ""));
      expect(family, name).toBeDefined();
      const known = Object.keys(family!.samples[0]!.labels);
      for (const label of labels) expect(known, `${label} of ${name}`).toContain(label);
      // A counter that is not asked for as a rate is a mistake.
      if (family!.type === "counter") expect(expr, name).toMatch(new RegExp(`(rate|increase)\\(${name}\\b`));
    }
  });

  it("include a dashboard whose queries use its variables for job, instance, pool and rule", () => {
    expect(variables.map(({ name }) => name)).toEqual(["job", "instance", "pool", "rule"]);
    for (const { name, expr, label } of variables) {
      expect(label).toBe(name);
      const [[metric, labels]] = [...namesOf(expr)] as [[string, Set<string>]];
      const known = [...added, ...Object.keys(families.get(metric)?.samples[0]?.labels ?? {})];
      for (const each of [...labels, label]) expect(known, expr).toContain(each);
    }
    const exprs = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
    for (const expr of exprs) {
      for (const [selector, metric = ""] of expr.matchAll(/([a-z0-9_]+)\{[^}]*\}/g)) {
        expect(selector, expr).toContain('job=~"$job",instance=~"$instance"');
        const known = Object.keys(
          (families.get(metric) ?? families.get(metric.replace(/_(bucket|sum|count)$/, "")))!.samples[0]!.labels,
        );
        if (known.includes("pool")) expect(selector, expr).toContain('pool=~"$pool"');
        if (known.includes("rule") && !expr.includes("get_keys")) expect(selector, expr).toContain('rule=~"$rule"');
      }
    }
  });

  it("include alerts that name the affected instance", () => {
    for (const { alert, expr, annotations } of alerts) {
      const used = [...JSON.stringify(annotations).matchAll(/\$labels\.(\w+)/g)].map(([, label]) => label!);
      const grouped = /\bby \(([^)]*)\)/.exec(expr)?.[1]?.split(/,\s*/);
      const [name] = namesOf(expr).keys();
      const own = Object.keys(families.get(name!)?.samples[0]?.labels ?? {});
      for (const label of used) expect(grouped ?? [...own, "instance"], alert).toContain(label);
    }
  });

  it("include alerts whose runbook_url leads to their section of docs/runbook.md", () => {
    const runbook = readFileSync(new URL("../../docs/runbook.md", import.meta.url), "utf8");
    const sections = [...runbook.matchAll(/^## (\w+)$/gm)].map(([, title]) => title!);
    expect(sections).toEqual(alerts.map(({ alert }) => alert));
    for (const { alert, annotations } of alerts) {
      expect(annotations.runbook_url).toBe(`https://platypus.example/docs/runbook.md#${alert.toLowerCase()}`);
    }
    // Metrics that the page tells people to look at.
    for (const [, name = ""] of runbook.matchAll(/\b(platypus_[a-z_]+)/g)) expect(families.has(name), name).toBe(true);
  });

  it("include an alert for a missing Platypus, under the job name of the scrape configuration", () => {
    const { scrape_configs } = parse(read("prometheus/prometheus.yml")) as { scrape_configs: { job_name: string }[] };
    const { expr } = alerts.find(({ alert }) => alert === "PlatypusGone")!;
    const up = `up{job="${scrape_configs[0]!.job_name}"}`;
    expect(expr).toBe(`${up} == 0 or absent(${up})`);
  });

  it("include a scrape configuration for the address that Platypus listens on", () => {
    const { scrape_configs } = parse(read("prometheus/prometheus.yml")) as {
      scrape_configs: { static_configs: { targets: string[] }[] }[];
    };
    expect(scrape_configs[0]!.static_configs[0]!.targets).toEqual(["127.0.0.1:11280"]);
  });
});
