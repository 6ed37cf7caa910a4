/**
 * The table of metrics: one row per metric, with its name by OpenTelemetry's conventions, its kind, unit and meaning.
 * It is the source of the Prometheus text, the OTLP export, and the list in docs/metrics.md.
 *
 * Attributes have as many values as the configuration has pools, servers, rules and sources. Keys never are attribute
 * values.
 *
 * Sources of names: OpenTelemetry semantic conventions, "Database client metrics", "Process metrics", "Node.js runtime".
 */

import { Status } from "../proxy/reply.ts";
import type { RuleCounters } from "../refresh/rules.ts";
import type { SourceCounters } from "../sources/limiter.ts";
import { type BucketCounts, shownBuckets } from "../telemetry/durations.ts";
import type { Counts, DiscoveryNumbers, ServerNumbers, Snapshot, SourceNumbers, StoreNumbers } from "./snapshot.ts";

/** One series: the values of the metric's attributes in order ("" if absent), and its number or its counts. */
type Series<Value> = readonly [attributes: readonly string[], value: Value];

interface MetricBase {
  /** With dots; `prometheusName` converts it. */
  readonly name: string;
  /** In UCUM notation: s, By; the counted thing in braces; 1 for a ratio. */
  readonly unit: string;
  readonly meaning: string;
  /** Labels for Prometheus, a dot as underscore. `otlp/otlp-series.ts` has the attributes for OTLP. */
  readonly attributes: readonly string[];
}

/**
 * `updown`: an amount that can be added over processes, such as connections. A gauge for Prometheus, an UpDownCounter for
 * OTLP.
 */
type NumberKind = "counter" | "updown" | "gauge";

export type Metric =
  | (MetricBase & { readonly kind: NumberKind; read(snapshot: Snapshot): Series<number>[] })
  | (MetricBase & { readonly kind: "histogram"; read(snapshot: Snapshot): Series<BucketCounts>[] });

const units: Readonly<Record<string, string>> = { s: "_seconds", By: "_bytes" };

/** By OpenTelemetry's rules for Prometheus: `platypus_client_request_duration_seconds`, `…_total` for counters. */
export function prometheusName({ name, unit, kind }: Metric): string {
  return `${name.replaceAll(".", "_")}${units[unit] ?? ""}${kind === "counter" ? "_total" : ""}`;
}

/** The kind in Prometheus' formats. */
export function prometheusKind({ kind }: Metric): "counter" | "gauge" | "histogram" {
  return kind === "updown" ? "gauge" : kind;
}

/** A number of one series. */
function single(
  kind: NumberKind,
  name: string,
  unit: string,
  meaning: string,
  read: (snapshot: Snapshot) => number,
): Metric {
  return { kind, name, unit, meaning, attributes: [], read: (snapshot) => [[[], read(snapshot)]] };
}

const byBackend = ["pool", "backend"];

function ofBackends(
  kind: NumberKind,
  name: string,
  unit: string,
  meaning: string,
  read: (server: ServerNumbers) => number,
): Metric {
  return {
    kind,
    name: `platypus.backend.${name}`,
    unit,
    meaning,
    attributes: byBackend,
    read: ({ servers }) => servers.map((server) => [[server.pool, server.name], read(server)]),
  };
}

function ofRules(name: string, unit: string, meaning: string, field: keyof RuleCounters): Metric {
  return {
    kind: "counter",
    name: `platypus.${name}`,
    unit,
    meaning,
    attributes: ["rule"],
    read: ({ rules }) => rules.map(({ name: rule, counters }) => [[rule], counters[field]]),
  };
}

function ofSources(
  kind: NumberKind,
  name: string,
  unit: string,
  meaning: string,
  read: (source: SourceNumbers) => number,
): Metric {
  return {
    kind,
    name: `platypus.source.${name}`,
    unit,
    meaning,
    attributes: ["source"],
    read: ({ sources }) => sources.map((source) => [[source.name], read(source)]),
  };
}

function counted(name: string, meaning: string, field: keyof SourceCounters): Metric {
  return ofSources("counter", name, "{fetch}", meaning, ({ counters }) => counters[field]);
}

function byName(counts: Counts): Series<number>[] {
  return Object.entries(counts).map(([name, count]) => [[name], count]);
}

/** Groups of backend errors by their names in attributes. */
const backendErrors: readonly (readonly [name: string, statuses: readonly Status[]])[] = [
  ["timeout", [Status.timeout]],
  ["connect", [Status.connectError, Status.connectTimeout]],
  ["lost", [Status.connectionLost]],
  ["server_error", [Status.serverError]],
  ["client_error", [Status.clientError]],
  ["tko", [Status.tko]],
  ["overloaded", [Status.overloaded]],
];

const breakerNumbers = { closed: 0, "half open": 1, open: 2 } as const;

const server: readonly Metric[] = [
  {
    kind: "gauge",
    name: "platypus.info",
    unit: "1",
    meaning: "Always 1. The label is the running version.",
    attributes: ["version"],
    read: ({ process: own }) => [[[own.version], 1]],
  },
  single(
    "gauge",
    "platypus.ready",
    "1",
    "1 if clients may be sent here, as `/readyz` reports; otherwise 0.",
    ({ process: own }) => {
      return own.notReady === null ? 1 : 0;
    },
  ),
  single(
    "gauge",
    "platypus.config.age",
    "s",
    "Seconds since the last successful reload, or the start.",
    ({ config }) => {
      return config.ageSeconds;
    },
  ),
  single(
    "gauge",
    "platypus.config.refused",
    "1",
    "1 if the last reload was refused and the previous configuration is in use; otherwise 0.",
    ({ config }) => (config.reloadError === null ? 0 : 1),
  ),
  single(
    "counter",
    "platypus.log.lost_lines",
    "{line}",
    "Log lines that could not be written anywhere.",
    ({ process: own }) => own.lostLogLines,
  ),
  {
    kind: "counter",
    name: "platypus.report.failures",
    unit: "{failure}",
    meaning: "Reports that failed: async log lines, files, messages to systemd, OTLP exports, admin pages.",
    attributes: ["report"],
    read: ({ process: own }) => byName(own.reportFailures),
  },
  single(
    "counter",
    "platypus.process.file_limit_hits",
    "{hit}",
    "Seconds in which no more files could be opened, so that new clients were closed.",
    ({ process: own }) => own.fileLimitHits,
  ),
  single(
    "updown",
    "platypus.process.memory_limit",
    "By",
    "Limit of the resident memory (`max_memory`). 0 if it is not set.",
    ({ process: own }) => own.maxMemoryBytes,
  ),
  {
    kind: "counter",
    name: "platypus.process.memory_shed",
    unit: "{time}",
    meaning: "Times that memory was shed near `max_memory`; for fills and connections, the number refused.",
    attributes: ["step"],
    read: ({ process: own }) => byName(own.memoryShed),
  },
];

const clients: readonly Metric[] = [
  single("updown", "platypus.client.connections", "{connection}", "Connected clients.", ({ clients: all }) => {
    return all.connections;
  }),
  single("counter", "platypus.client.accepted", "{connection}", "Clients that were accepted.", ({ clients: all }) => {
    return all.accepted;
  }),
  single(
    "counter",
    "platypus.client.rejected",
    "{connection}",
    "Clients refused because of `max_connections`.",
    (snapshot) => {
      return snapshot.clients.rejected;
    },
  ),
  single(
    "counter",
    "platypus.client.cut_off",
    "{connection}",
    "Clients closed because they did not read their replies.",
    (snapshot) => {
      return snapshot.clients.cutOff;
    },
  ),
  single(
    "counter",
    "platypus.client.silent",
    "{connection}",
    "Clients closed because they did not send a first byte, finish their TLS handshake or log in, in time.",
    (snapshot) => snapshot.clients.silent,
  ),
  {
    kind: "counter",
    name: "platypus.client.logins",
    unit: "{attempt}",
    meaning: "Login attempts of clients, by password or certificate.",
    attributes: ["result"],
    read: ({ clients: { authCommands, authErrors } }) => [
      [["accepted"], authCommands - authErrors],
      [["refused"], authErrors],
    ],
  },
  single(
    "counter",
    "platypus.client.denied",
    "{command}",
    "Commands refused because of the user's prefixes or read-only rights.",
    (snapshot) => snapshot.clients.denied,
  ),
  {
    kind: "counter",
    name: "platypus.client.io",
    unit: "By",
    meaning: "Bytes from clients (receive) and to them (transmit).",
    attributes: ["direction"],
    read: ({ clients: { bytesRead, bytesWritten } }) => [
      [["receive"], bytesRead],
      [["transmit"], bytesWritten],
    ],
  },
  {
    kind: "histogram",
    name: "platypus.client.request.duration",
    unit: "s",
    meaning: "Time from reading a client's request to its reply.",
    attributes: ["operation", "protocol"],
    read: ({ clients: { requests } }) =>
      requests.map(({ operation, protocol, latency }) => [[operation, protocol], shownBuckets(latency)]),
  },
  {
    kind: "counter",
    name: "platypus.client.request.errors",
    unit: "{request}",
    meaning: "Requests that were invalid (`client`), or that Platypus or a server could not execute (`server`).",
    attributes: ["operation", "protocol", "error"],
    read: ({ clients: { requests } }) =>
      requests.flatMap(({ operation, protocol, clientErrors, serverErrors }): Series<number>[] => [
        [[operation, protocol, "client"], clientErrors],
        [[operation, protocol, "server"], serverErrors],
      ]),
  },
  {
    kind: "counter",
    name: "platypus.client.get.keys",
    unit: "{key}",
    meaning:
      "Keys of gets, by the result that clients got. `platypus.fill.answered` counts the hits that came from fills.",
    attributes: ["result"],
    read: ({ clients: { getHits, getMisses } }) => [
      [["hit"], getHits],
      [["miss"], getMisses],
    ],
  },
];

const backends: readonly Metric[] = [
  {
    kind: "histogram",
    name: "db.client.operation.duration",
    unit: "s",
    meaning: "Time from sending a request to a server to its reply.",
    attributes: [...byBackend, "db.system.name"],
    read: ({ servers }) => servers.map(({ pool, name, latency }) => [[pool, name, "memcached"], shownBuckets(latency)]),
  },
  ofBackends("counter", "requests", "{request}", "Requests sent to a server.", ({ requests }) => requests),
  {
    kind: "counter",
    name: "platypus.backend.errors",
    unit: "{request}",
    meaning: "Failed requests to a server, by error. `tko`: not sent, because the server is marked down.",
    attributes: [...byBackend, "error"],
    read: ({ servers }) =>
      servers.flatMap(({ pool, name, results }) =>
        backendErrors.map(([error, statuses]): Series<number> => {
          return [[pool, name, error], statuses.reduce((sum, status) => sum + results[status]!, 0)];
        }),
      ),
  },
  ofBackends("gauge", "up", "1", "0 if the server is marked down (TKO); otherwise 1.", ({ state }) =>
    state === "up" ? 1 : 0,
  ),
  {
    kind: "counter",
    name: "platypus.backend.tko",
    unit: "{change}",
    meaning: "Times that a server was marked down: after timeouts (`soft`), or because it was unreachable (`hard`).",
    attributes: [...byBackend, "kind"],
    read: ({ servers }) =>
      servers.flatMap(({ pool, name, softTko, hardTko }): Series<number>[] => [
        [[pool, name, "soft"], softTko],
        [[pool, name, "hard"], hardTko],
      ]),
  },
  ofBackends("updown", "outstanding", "{request}", "Requests in flight to a server.", (backend) => {
    return backend.outstanding;
  }),
  ofBackends("updown", "connections", "{connection}", "Connections to a server.", ({ connections }) => connections),
  ofBackends("counter", "connects", "{connection}", "Connections opened to a server.", ({ connects }) => connects),
  ofBackends(
    "counter",
    "out_of_step",
    "{connection}",
    "Connections closed because a reply did not fit its request.",
    (backend) => {
      return backend.outOfStep;
    },
  ),
];

function ofDiscovery(
  kind: NumberKind,
  name: string,
  unit: string,
  meaning: string,
  read: (state: DiscoveryNumbers) => number,
): Metric {
  return {
    kind,
    name: `platypus.discovery.${name}`,
    unit,
    meaning,
    attributes: ["pool"],
    read: ({ discoveries }) => discoveries.map((state) => [[state.pool], read(state)]),
  };
}

const discoveries: readonly Metric[] = [
  ofDiscovery("updown", "servers", "{server}", "Servers in the followed list (`discover`).", ({ servers }) => servers),
  ofDiscovery("gauge", "age", "s", "Time since `discover` last answered.", ({ ageSeconds }) => ageSeconds),
  ofDiscovery("counter", "changes", "{change}", "Changes of the followed list.", ({ changes }) => changes),
  ofDiscovery("counter", "failures", "{look}", "Looks at `discover` without an answer.", ({ failures }) => failures),
  {
    kind: "counter",
    name: "platypus.handoff.keys",
    unit: "{key}",
    meaning:
      "Keys looked up at their former server after a change of the servers (`handoff`), by result: `copied`; `absent`: not there; `overtaken`: a client wrote meanwhile; `failed`.",
    attributes: ["result"],
    read: ({ handoffs }) => byName({ ...handoffs }),
  },
];

const near: readonly Metric[] = [
  single(
    "counter",
    "platypus.near.hits",
    "{key}",
    "Keys of gets that were answered from memory (`near`). They are also counted as hits.",
    (snapshot) => snapshot.near.hits,
  ),
  single(
    "counter",
    "platypus.near.stored",
    "{value}",
    "Values of hot keys that were read from the pool and kept in memory.",
    (snapshot) => snapshot.near.stored,
  ),
  {
    kind: "counter",
    name: "platypus.near.dropped",
    unit: "{value}",
    meaning:
      "Values of hot keys that were dropped from memory early, by reason: `write`: a write through this process, or a read of another value; `size`: to make room.",
    attributes: ["reason"],
    read: ({ near: { dropped, evicted } }) => byName({ write: dropped, size: evicted }),
  },
  single(
    "updown",
    "platypus.near.keys",
    "{key}",
    "Hot keys: those that clients ask for about three times a second or more. 0 without `near`.",
    (snapshot) => snapshot.near.keys,
  ),
  single(
    "updown",
    "platypus.near.size",
    "By",
    "Memory of hot keys and their values.",
    (snapshot) => snapshot.near.bytes,
  ),
];

const fills: readonly Metric[] = [
  ofRules("fill.flights", "{fetch}", "Fetches started because of a miss.", "fills"),
  ofRules("fill.joined", "{get}", "Gets that joined a fetch in flight.", "joined"),
  ofRules("fill.answered", "{get}", "Gets answered with a value from a fill, or with a held value.", "answered"),
  ofRules("fill.stored", "{key}", "Fetched values that the pool stored.", "filled"),
  ofRules("fill.not_there", "{key}", "Fetches whose source had no value.", "notThere"),
  ofRules("fill.failed", "{fetch}", "Fetches for a miss that failed.", "failed"),
  ofRules(
    "fill.left_alone",
    "{get}",
    "Misses answered without a fetch, because the last fetch of the key failed (`failure_ttl`).",
    "leftAlone",
  ),
  ofRules(
    "fill.timed_out",
    "{get}",
    "Gets answered as misses because the fetch took longer than `fill_timeout`.",
    "timedOut",
  ),
  ofRules(
    "fill.overtaken",
    "{fetch}",
    "Fetched values discarded because a client wrote the key meanwhile.",
    "overtaken",
  ),
  ofRules("fill.held", "{key}", "Values kept in memory because the pool could not store them.", "held"),
  ofRules("fill.observed", "{get}", 'Gets that would have been filled (mode = "observe").', "observed"),
  ofRules("lease.taken", "{lease}", "Leases won for a fill.", "leasesTaken"),
  ofRules("lease.awaited", "{lease}", "Fills that waited for the lease of another process.", "leasesAwaited"),
  {
    kind: "histogram",
    name: "platypus.rule.fetch.duration",
    unit: "s",
    meaning: "Duration of a rule's fetches (fills and refreshes), including their wait for the source.",
    attributes: ["rule"],
    read: ({ rules }) => rules.map(({ name, fetch }) => [[name], shownBuckets(fetch)]),
  },
];

const refreshes: readonly Metric[] = [
  {
    kind: "updown",
    name: "platypus.refresh.tracked",
    unit: "{key}",
    meaning: "Keys that this process tracks and refreshes.",
    attributes: ["rule"],
    read: ({ rules }) => rules.map(({ name, tracked }) => [[name], tracked]),
  },
  {
    kind: "updown",
    name: "platypus.rule.in_flight",
    unit: "{fetch}",
    meaning: "Fetches that run or wait for their source.",
    attributes: ["rule"],
    read: ({ rules }) => rules.map(({ name, inFlight }) => [[name], inFlight]),
  },
  {
    kind: "histogram",
    name: "platypus.refresh.lag",
    unit: "s",
    meaning: "Delay of refreshes after their due time.",
    attributes: ["rule"],
    read: ({ rules }) => rules.map(({ name, lag }) => [[name], shownBuckets(lag)]),
  },
  ofRules("refresh.due", "{key}", "Refreshes started.", "due"),
  ofRules("refresh.stored", "{key}", "Refreshes that stored a new value.", "refreshed"),
  ofRules("refresh.unchanged", "{key}", "Refreshes that found the value unchanged and extended its TTL.", "unchanged"),
  ofRules("refresh.failed", "{key}", "Refreshes whose source failed.", "refreshFailed"),
  ofRules("refresh.deferred", "{key}", "Refreshes postponed because the source had no free place.", "deferred"),
  ofRules(
    "refresh.dropped",
    "{key}",
    "Keys no longer tracked, because no client asks for them or the item is gone.",
    "dropped",
  ),
  ofRules(
    "refresh.picked_up",
    "{key}",
    "Keys tracked because a hit showed that this process did not track them.",
    "pickedUp",
  ),
];

const sources: readonly Metric[] = [
  {
    kind: "histogram",
    name: "platypus.source.fetch.duration",
    unit: "s",
    meaning: "Duration of a source's fetches, without their wait for a place.",
    attributes: ["source"],
    read: (snapshot) => snapshot.sources.map(({ name, latency }) => [[name], shownBuckets(latency)]),
  },
  counted("fetches", "Fetches from a source. A batch is one fetch.", "fetches"),
  ofSources("counter", "keys", "{key}", "Keys in the fetches from a source.", ({ counters }) => counters.keys),
  {
    kind: "counter",
    name: "platypus.source.failures",
    unit: "{fetch}",
    meaning: "Failed fetches, by error.",
    attributes: ["source", "error"],
    read: (snapshot) =>
      snapshot.sources.flatMap(({ name, failures }) =>
        Object.entries(failures).map(
          ([code, count]): Series<number> => [[name, code.replace("SOURCE_", "").toLowerCase()], count],
        ),
      ),
  },
  counted("retried", "Retries of fetches.", "retried"),
  counted("overloaded", "Fetches not started, because no place was free in time or the queue was full.", "overloaded"),
  counted("left_alone", "Fetches not started, because the circuit breaker was open.", "leftAlone"),
  ofSources("updown", "in_flight", "{fetch}", "Fetches in flight.", ({ inFlight }) => inFlight),
  ofSources(
    "updown",
    "places",
    "{fetch}",
    'Maximum number of fetches in flight: `concurrency`, or what "auto" found.',
    (source) => source.places,
  ),
  ofSources("updown", "waiting", "{fetch}", "Fetches that wait for a free place.", ({ waiting }) => waiting),
  ofSources("gauge", "breaker", "1", "State of the circuit breaker: 0 closed, 1 half open, 2 open.", (source) => {
    return breakerNumbers[source.breaker];
  }),
  ofSources(
    "counter",
    "breaker_opened",
    "{change}",
    "Times that the circuit breaker opened.",
    (source) => source.breakerOpened,
  ),
];

/** Requests of http sources. */
const httpCalls: Metric = {
  kind: "histogram",
  name: "http.client.request.duration",
  unit: "s",
  meaning: "Time from sending a request of an http source to the head of its response.",
  attributes: [
    "source",
    "http.request.method",
    "server.address",
    "server.port",
    "url.template",
    "http.response.status_code",
    "error.type",
  ],
  read: (snapshot) =>
    snapshot.sources.flatMap(({ name, calls }) =>
      calls.map(({ method, address, port, template, status, error, latency }): Series<BucketCounts> => {
        const labels = [name, method, address, String(port), template, String(status ?? ""), error ?? ""];
        return [labels, shownBuckets(latency)];
      }),
    ),
};

const routes: readonly Metric[] = [
  single(
    "counter",
    "platypus.route.failovers",
    "{request}",
    "Requests sent to another route after a failure.",
    (snapshot) => {
      return snapshot.routes.failoverAll;
    },
  ),
  single(
    "counter",
    "platypus.route.failovers_failed",
    "{request}",
    "Requests that failed on the other route too.",
    (snapshot) => {
      return snapshot.routes.failoverAllFailed;
    },
  ),
];

function ofStore(
  kind: NumberKind,
  name: string,
  unit: string,
  meaning: string,
  read: (store: StoreNumbers) => number,
): Metric {
  return {
    kind,
    name: `platypus.store.${name}`,
    unit,
    meaning,
    attributes: [],
    read: ({ store }) => (store === null ? [] : [[[], read(store)]]),
  };
}

const store: readonly Metric[] = [
  ofStore("updown", "items", "{item}", "Items of the in-process store.", ({ items }) => items),
  ofStore("updown", "size", "By", "Size of the items of the in-process store.", ({ bytes }) => bytes),
  ofStore("updown", "limit", "By", "Maximum size of the in-process store.", ({ maxBytes }) => maxBytes),
  ofStore(
    "counter",
    "evictions",
    "{item}",
    "Items evicted from the in-process store.",
    ({ counters }) => counters.evicted,
  ),
];

const ofProcess: readonly Metric[] = [
  single(
    "gauge",
    "process.uptime",
    "s",
    "Seconds since the start of the process.",
    ({ process: own }) => own.uptimeSeconds,
  ),
  {
    kind: "counter",
    name: "process.cpu.time",
    unit: "s",
    meaning: "CPU time that the process used.",
    attributes: ["cpu.mode"],
    read: ({ process: { userSeconds, systemSeconds } }) => [
      [["user"], userSeconds],
      [["system"], systemSeconds],
    ],
  },
  single(
    "updown",
    "process.memory.usage",
    "By",
    "Resident memory of the process.",
    ({ process: own }) => own.residentBytes,
  ),
  single(
    "updown",
    "platypus.memory.heap",
    "By",
    "Heap memory used by JavaScript objects.",
    (snapshot) => snapshot.process.heapBytes,
  ),
  single(
    "updown",
    "platypus.memory.external",
    "By",
    "Memory of buffers and other objects outside the heap.",
    (snapshot) => {
      return snapshot.process.externalBytes;
    },
  ),
  {
    kind: "counter",
    name: "nodejs.eventloop.time",
    unit: "s",
    meaning: "Time that the event loop was busy (`active`) or waiting (`idle`).",
    attributes: ["nodejs.eventloop.state"],
    read: ({ process: { activeSeconds, idleSeconds } }) => [
      [["active"], activeSeconds],
      [["idle"], idleSeconds],
    ],
  },
  {
    kind: "histogram",
    name: "platypus.eventloop.delay",
    unit: "s",
    meaning: "Delay of a timer that runs ten times a second.",
    attributes: [],
    read: ({ process: own }) => [[[], shownBuckets(own.loopDelay)]],
  },
  {
    kind: "histogram",
    name: "v8js.gc.duration",
    unit: "s",
    meaning: "Pauses of the garbage collector, by kind.",
    attributes: ["v8js.gc.type"],
    read: ({ process: own }) =>
      Object.entries(own.collections).map(([kind, pauses]): Series<BucketCounts> => [[kind], shownBuckets(pauses)]),
  },
];

/** All metrics, in the order of the docs. */
export const metrics: readonly Metric[] = [
  ...server,
  ...clients,
  ...backends,
  ...discoveries,
  ...near,
  ...fills,
  ...refreshes,
  ...sources,
  httpCalls,
  ...routes,
  ...store,
  ...ofProcess,
];
