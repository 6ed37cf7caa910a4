/** Nodes of a configuration → routes. A node in several places becomes one route. */
import type { RouteConfig } from "../config/config.ts";
import type { Route } from "../proxy/route/route.ts";
import { kindOfNode } from "./handles.ts";
import type { BuildContext, TreeContext } from "./route-kind.ts";

/** Builds the routes of one configuration, each node once. */
export class TreeBuilder {
  private readonly context: BuildContext;
  private readonly built = new Map<RouteConfig, Route>();

  constructor(context: TreeContext) {
    this.context = {
      ...context,
      build: (node) => this.build(node),
      buildAll: (nodes) => nodes.map((node) => this.build(node)),
    };
  }

  build(node: RouteConfig): Route {
    const known = this.built.get(node);
    if (known !== undefined) return known;
    const route = kindOfNode(node).build(node, this.context);
    this.built.set(node, route);
    return route;
  }
}
