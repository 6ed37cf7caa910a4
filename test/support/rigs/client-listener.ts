/** A listener on a free port over a route of the test's, without anything below or beside it. */

import { type Clock, systemClock } from "../../../src/clock.ts";
import type { TlsConfig } from "../../../src/config/config.ts";
import type { Access } from "../../../src/proxy/client/access.ts";
import type { ClientContext } from "../../../src/proxy/client/client-context.ts";
import { newClientCounters } from "../../../src/proxy/client/client-counters.ts";
import { Listener } from "../../../src/proxy/client/listener.ts";
import { LocalCommands } from "../../../src/proxy/client/local-commands.ts";
import { ValueSizes } from "../../../src/proxy/client/read-ahead.ts";
import { Rounds } from "../../../src/proxy/client/rounds.ts";
import type { Root } from "../../../src/proxy/route/route.ts";
import { BinaryParser } from "../../../src/proxy/wire/binary-parser.ts";
import { ClassicParser } from "../../../src/proxy/wire/classic-parser.ts";
import { Turn } from "../../../src/proxy/wire/turn.ts";

export interface ListenerSettings {
  readonly maxValueBytes: number;
  readonly clientOutputLimitBytes: number;
  readonly maxConnections: number;
  readonly maxOutstanding: number;
  readonly firstByteTimeoutMs: number;
  readonly tls: TlsConfig | null;
  readonly access: Access | null;
}

/** The listener, where it listens, and the counters of its clients. */
export interface StartedListener {
  readonly listener: Listener;
  readonly port: number;
  readonly counters: ClientContext["counters"];
  /** What a reload does: requests from now on go to `root`. */
  replaceRoot(root: Root): void;
}

/** Starts a listener over `root`. A fault that ends a connection is one of the test's, unless it says what becomes of it. */
export async function startListener(
  root: Root,
  changes: Partial<ListenerSettings> = {},
  fault: (error: Error) => void = (error) => {
    throw error;
  },
  clock: Clock = systemClock,
): Promise<StartedListener> {
  const settings = {
    maxValueBytes: 1024 * 1024,
    clientOutputLimitBytes: 64 * 1024 * 1024,
    maxConnections: 1_000,
    isFlushAllAllowed: true,
    prefix: "",
    maxOutstanding: 10_000,
    writeTimeoutMs: 0,
    evictsIdle: false,
    firstByteTimeoutMs: 0,
    tls: null,
    access: null,
    ...changes,
  };
  const turn = new Turn(() => performance.now());
  const context: ClientContext = {
    root,
    limits: settings,
    parser: new ClassicParser(() => settings),
    binaryParser: new BinaryParser(() => settings),
    turn,
    rounds: new Rounds(),
    sizes: new ValueSizes(turn),
    local: new LocalCommands({
      version: () => "1.6.45",
      stats: (_group, done) => done([["pid", 1]]),
      cluster: () => null,
      resetStats: () => {},
      serverLines: (_group, done) => done([]),
    }),
    counters: newClientCounters(),
    ends: { closed: 0, failed: 0 },
    tracer: null,
    accessLog: null,
    fault,
  };
  const anyPort = { type: "tcp", isTls: settings.tls !== null, host: "127.0.0.1", port: 0 } as const;
  const listener = await Listener.open(anyPort, context, {
    maxConnections: () => settings.maxConnections,
    backlog: 511,
    firstByteTimeoutMs: () => settings.firstByteTimeoutMs,
    clock,
    tls: settings.tls,
    access: settings.access,
  });
  const port = listener.address.type === "tcp" ? listener.address.port : 0;
  const replaceRoot = (next: Root) => {
    context.root = next;
  };
  return { listener, port, counters: context.counters, replaceRoot };
}
