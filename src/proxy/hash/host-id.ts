/** A number for this host, the same at every start: by it routes choose that differ from host to host. */
import { hostname } from "node:os";
import { spooky32 } from "./spooky.ts";

/** 32 bits of the host's name. mcrouter's own number is of another making: only that it stays the same matters. */
export function hostId(name: string = hostname()): number {
  const bytes = Buffer.from(name, "utf8");
  return spooky32(bytes, 0, bytes.length, 0);
}
