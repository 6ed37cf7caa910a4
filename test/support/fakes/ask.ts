/** Sends commands to routes and reads their replies, in a few words. */
import type { Request } from "../../../src/proxy/request.ts";
import { frameBytes, words } from "../clients/binary-client.ts";
import { Asked } from "./asked.ts";

/** Sends a command to `route`. Its chunk is overwritten as soon as the route has returned. */
export function ask(route: { route(request: Request): void }, frame: string | Buffer): Asked {
  return new Asked(frame).by((request) => route.route(request));
}

/** The reply to the client. `null` if there is none yet. Throws if there is more than one. */
export function told(asked: Asked): string | null {
  if (asked.answers.length > 1) throw new Error(`answered ${asked.answers.length} times`);
  return asked.answers[0]?.text ?? null;
}

/** A binary get. */
export function binaryGet(key: string): Buffer {
  return frameBytes({ opcode: 0x00, key, opaque: 7 });
}

/** A binary set, without time to live. */
export function binarySet(key: string, value: string, flags = 0): Buffer {
  return frameBytes({ opcode: 0x01, key, value, extras: words(flags, 0), opaque: 7 });
}

/** A word in base64. */
export function base64(text: string): string {
  return Buffer.from(text, "latin1").toString("base64");
}
