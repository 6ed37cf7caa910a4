/** Dependencies that the client connections of one listener share. */
import type { AccessObserver } from "../access-observer.ts";
import type { Root } from "../route/route.ts";
import type { Tracer } from "../tracing.ts";
import type { BinaryParser } from "../wire/binary-parser.ts";
import type { ClassicLimits, ClassicParser } from "../wire/classic-parser.ts";
import type { Turn } from "../wire/turn.ts";
import type { ClientCounters } from "./client-counters.ts";
import type { LocalCommands } from "./local-commands.ts";
import type { ValueSizes } from "./read-ahead.ts";
import type { Rounds } from "./rounds.ts";

/** Limits of one client. */
interface ClientLimits extends ClassicLimits {
  readonly clientOutputLimitBytes: number;
  /** Maximum number of requests in flight. At the limit, Platypus stops reading from the client. */
  readonly maxOutstanding: number;
  /** Timeout of a client that reads no reply bytes. 0 disables the timeout. */
  readonly writeTimeoutMs: number;
  /** True if requests carry the IP address of their client. Absent: false. */
  readonly keepsClientAddress?: boolean;
  /** True if the client that was silent longest is closed for a new one. */
  readonly evictsIdle: boolean;
}

/** Ends of clients since the start: those that closed their connections, and connections with an error. */
export interface ClientEnds {
  closed: number;
  failed: number;
}

/** Data that the connections of one listener share. A reload replaces `root` and `limits`. */
export interface ClientContext {
  root: Root;
  limits: ClientLimits;
  readonly parser: ClassicParser;
  readonly binaryParser: BinaryParser;
  readonly turn: Turn;
  readonly rounds: Rounds;
  readonly sizes: ValueSizes;
  readonly local: LocalCommands;
  readonly counters: ClientCounters;
  readonly ends: ClientEnds;
  /** `null` if traces are off. */
  tracer: Tracer | null;
  /** `null` if there is no access log. */
  accessLog: AccessObserver | null;
  /** Called with faults in Platypus that ended a connection. */
  fault(error: Error): void;
}
