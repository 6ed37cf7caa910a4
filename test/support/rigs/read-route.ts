/** Reads a route of a mcrouter configuration with two pools: A with two servers, B with one. */
import { expect } from "vitest";
import type { RouteConfig } from "../../../src/config/config.ts";
import type { ParentConfig } from "../../../src/mcrouter/config/route-input.ts";
import { treeConfig, treeProblems } from "./tree-config.ts";

export const pools = {
  A: { servers: ["10.0.0.1:1", "10.0.0.2:1"] },
  B: { servers: ["10.0.1.1:1"] },
};
/** Without the log around each pool. */
export const options = { asynclog_disable: "1" };
export const a = { type: "pool", pool: "A", placement: null };
export const a0 = { type: "destination", pool: "A", index: 0 };
export const a1 = { type: "destination", pool: "A", index: 1 };
export const b = { type: "pool", pool: "B", placement: null };

/** The children of a node. */
export function childrenOf(node: RouteConfig): readonly RouteConfig[] {
  expect(node).toHaveProperty("children");
  return (node as ParentConfig<string>).children;
}

export async function read(route: object | string, more: object = {}): Promise<RouteConfig> {
  const { tree } = await treeConfig({ pools, ...more, route }, options);
  return tree!.routes.get("/././")!;
}

export async function problems(route: object | string, more: object = {}): Promise<string[]> {
  return treeProblems(JSON.stringify({ pools, ...more, route }, null, 1), options);
}

export async function warnings(route: object | string): Promise<readonly string[]> {
  return (await treeConfig({ pools, route }, options)).warnings;
}
