/** Commands to routes, in short. */
import type { Request } from "../../../src/proxy/request.ts";
import { frameBytes, words } from "../clients/binary-client.ts";
import { Asked } from "./asked.ts";

/** Asks `route`; what the command was read into is overwritten as soon as it was routed. */
export function ask(route: { route(request: Request): void }, frame: string | Buffer): Asked {
  return new Asked(frame).by((request) => route.route(request));
}

/** What the client was sent, if it was answered; more than one answer is a mistake of its own. */
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
