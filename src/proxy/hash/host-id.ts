/** A number for this host, identical at each start. Routes use it for choices that differ between hosts. */
import { hostname } from "node:os";
import { spooky32 } from "./spooky.ts";

/** 32 bits from the host's name. mcrouter derives its number differently; only its stability matters. */
export function hostId(name: string = hostname()): number {
  const bytes = Buffer.from(name, "utf8");
  return spooky32(bytes, 0, bytes.length, 0);
}
