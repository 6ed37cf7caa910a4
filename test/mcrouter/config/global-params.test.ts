import { expect, it } from "vitest";
import { globalParams, parseConfigParams } from "../../../src/mcrouter/config/global-params.ts";

it("global parameters are mcrouter's, plus the options and the user's parameters", () => {
  const params = globalParams({
    routePrefix: "/eu/east/",
    hostId: 17,
    routerName: "5000",
    serviceName: "mcrouter",
    numProxies: 2,
    options: { server_timeout_ms: 1000, asynclog_disable: false, enable_flush_cmd: true },
    configParams: parseConfigParams("env:prod,url:http://a,hostid:99"),
  });
  expect(params).toEqual({
    "default-route": "/eu/east/",
    "default-region": "eu",
    "default-cluster": "east",
    hostid: 17,
    "router-name": "5000",
    "service-name": "mcrouter",
    "service-router-capable": 0,
    "router-info-name": "Memcache",
    "num-proxies": 2,
    "mcr_opts-server_timeout_ms": "1000",
    "mcr_opts-asynclog_disable": "0",
    "mcr_opts-enable_flush_cmd": "1",
    env: "prod",
    url: "http://a",
  });
});

it("--config-params contains pairs, and the first of equal names counts", () => {
  expect([...parseConfigParams("a:1,b:,a:2")]).toEqual([
    ["a", "1"],
    ["b", ""],
  ]);
  expect(parseConfigParams("").size).toBe(0);
  expect(() => parseConfigParams("a:1,b")).toThrow('--config-params: expected name:value, got "b"');
  expect(() => parseConfigParams(":1")).toThrow('expected name:value, got ":1"');
});
