/** What a client's connection is given: what the connections of one listener have in common. */
import type { Root } from "../route/route.ts";
import type { Tracer } from "../tracing.ts";
import type { BinaryParser } from "../wire/binary-parser.ts";
import type { ClassicLimits, ClassicParser } from "../wire/classic-parser.ts";
import type { Turn } from "../wire/turn.ts";
import type { ClientCounters } from "./client-counters.ts";
import type { LocalCommands } from "./local-commands.ts";
import type { ValueSizes } from "./read-ahead.ts";
import type { Rounds } from "./rounds.ts";

/** Bounds of one client. */
interface ClientLimits extends ClassicLimits {
  readonly clientOutputLimitBytes: number;
  /** Requests under way at which no more are read. */
  readonly maxOutstanding: number;
  /** Cut off when it takes nothing for so long; 0: never. */
  readonly writeTimeoutMs: number;
  /** The client that was silent longest makes room for a new one. */
  readonly evictsIdle: boolean;
}

/** What the connections of one listener have in common; `root` and `limits` are replaced when the configuration is. */
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
  /** Null: nothing is traced. */
  tracer: Tracer | null;
  /** Told of faults of our own that ended a connection. */
  fault(error: Error): void;
}
