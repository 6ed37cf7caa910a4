import type http from "node:http";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SourceError } from "../../src/errors.ts";
import { Limiter } from "../../src/sources/limiter.ts";
import { contextOf } from "../support/fakes/fetch-context.ts";
import { settled } from "../support/fakes/settled.ts";
import { accessKeys, SecretSources } from "../support/rigs/secret-sources.ts";
import { looseLimits } from "../support/rigs/source-limits.ts";
import { freePort } from "../support/servers/memcached-process.ts";
import { ACCESS_KEY, type SecretsManagerServer } from "../support/servers/secrets-manager.ts";

const ROLE = "arn:aws:iam::123456789012:role/cache";

let aws: SecretSources;
let server: SecretsManagerServer;

beforeEach(async () => {
  aws = await SecretSources.start();
  server = aws.server;
});
afterEach(() => aws.close());

describe("secrets that are requested together", () => {
  const parts = Array.from({ length: 45 }, (_, i) => `s${i}`);

  it("come in batches of twenty, each with a separate result", async () => {
    for (const part of parts) server.put(`app/${part}`, `value of ${part}`);
    server.fail("app/s7", "ResourceNotFoundException", "Secrets Manager can't find the specified secret.");
    server.fail("app/s33", "AccessDeniedException", "You are not authorized to perform: secretsmanager:GetSecretValue");
    const ends = await aws.outcomes(aws.make(), parts);
    expect(server.calls.map(({ action, ids }) => `${action} ${ids.length}`)).toEqual([
      "BatchGetSecretValue 20",
      "BatchGetSecretValue 20",
      "BatchGetSecretValue 5",
    ]);
    for (const [i, end] of ends.entries()) {
      if (i === 7) expect(end).toBe("notThere");
      else if (i === 33) expect(end).toMatch(/^SOURCE_REFUSED .*"app\/s33" is denied: secretsmanager:GetSecretValue/);
      else expect(end).toBe(`value of s${i}`);
    }
  });

  it("are requested once each, for any number of callers", async () => {
    server.put("app/a", "1");
    expect(await aws.outcomes(aws.make(), ["a", "a", "a"])).toEqual(["1", "1", "1"]);
    expect(server.asked).toEqual(["GetSecretValue app/a"]);
  });

  it("may be named by ARN", async () => {
    server.put("app/a", "1");
    server.put("app/b", "2");
    const key = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:app/{1}";
    expect(await aws.outcomes(aws.make({ key }), ["a", "b-AbCdEf", "c"])).toEqual(["1", "2", "notThere"]);
    expect(server.calls).toHaveLength(1);
  });

  it("are requested individually if they have a version stage", async () => {
    for (const part of ["a", "b"]) server.put(`app/${part}`, part, "AWSPREVIOUS");
    const source = aws.make({ versionStage: "AWSPREVIOUS" });
    expect(await aws.outcomes(source, ["a", "b"])).toEqual(["a", "b"]);
    expect(server.calls.map(({ action }) => action)).toEqual(["GetSecretValue", "GetSecretValue"]);
  });

  it.each([
    ["AccessDeniedException", "are not allowed"],
    ["UnknownOperationException", "are not known"],
  ])("are requested individually after %s: batches %s", async (type) => {
    for (const part of ["a", "b", "c", "d"]) server.put(`app/${part}`, part);
    const denied = { status: 400, type, message: "secretsmanager:BatchGetSecretValue" };
    server.intercept = ({ action }) => (action === "BatchGetSecretValue" ? denied : null);
    const source = aws.make();
    expect(await aws.outcomes(source, ["a", "b"])).toEqual(["a", "b"]);
    expect(await aws.outcomes(source, ["c", "d"])).toEqual(["c", "d"]);
    expect(server.calls.map(({ action }) => action).sort()).toEqual([
      "BatchGetSecretValue",
      ...Array<string>(4).fill("GetSecretValue"),
    ]);
  });

  describe("with a service that cannot handle batches", () => {
    const parts = ["a", "b", "c", "d"];

    beforeEach(() => {
      process.env.AWS_MAX_ATTEMPTS = "1";
      for (const part of parts) server.put(`app/${part}`, part);
    });

    /** Has batches answered by `answer`, and returns how often. */
    function withoutBatches(answer: (response: http.ServerResponse) => void): { count: number } {
      const batches = { count: 0 };
      const serve = server.origin.handle;
      server.origin.handle = (request, response) => {
        if (!String(request.headers["x-amz-target"]).endsWith(".BatchGetSecretValue")) return serve(request, response);
        batches.count++;
        request.resume();
        answer(response);
      };
      return batches;
    }

    function fault(status: number, type: string) {
      return (response: http.ServerResponse) =>
        response
          .writeHead(status, { "content-type": "application/x-amz-json-1.1" })
          .end(JSON.stringify({ __type: type, message: "API action 'BatchGetSecretValue' not yet implemented" }));
    }

    function page(status: number) {
      return (response: http.ServerResponse) =>
        response.writeHead(status, { "content-type": "text/html" }).end("<html><h1>Not here</h1></html>");
    }

    it.each([
      ["501 InternalFailure", fault(501, "InternalFailure")],
      ["500 InternalFailure", fault(500, "InternalFailure")],
      ["500 InternalError", fault(500, "InternalError")],
      ["404 ResourceNotFoundException", fault(404, "ResourceNotFoundException")],
      ["404 UnknownOperationException", fault(404, "UnknownOperationException")],
      ["400 InvalidAction", fault(400, "InvalidAction")],
      ["400 ValidationException", fault(400, "ValidationException")],
      ["400 InvalidRequestException", fault(400, "InvalidRequestException")],
      ["403 MissingAuthenticationToken", fault(403, "MissingAuthenticationTokenException")],
      ["405 without a body", (response: http.ServerResponse) => response.writeHead(405).end()],
      ["a page of HTML with 500", page(500)],
      ["a page of HTML with 404", page(404)],
      ["a page of HTML with 200", page(200)],
      ["an empty object", (response: http.ServerResponse) => response.writeHead(200).end("{}")],
    ])("are requested individually after %s", async (_what, answer) => {
      const batches = withoutBatches(answer);
      const source = aws.make();
      expect(await aws.outcomes(source, ["a", "b"])).toEqual(["a", "b"]);
      expect(await aws.outcomes(source, ["c", "d"])).toEqual(["c", "d"]);
      expect(batches.count).toBe(1);
    });

    it("are requested together again after a doubling pause, and normally once that works", async () => {
      const serve = server.origin.handle;
      const batches = withoutBatches(fault(501, "InternalFailure"));
      const source = aws.make();
      const counts: number[] = [];
      for (const pauseMs of [0, 59_000, 1_000, 119_000, 1_000]) {
        aws.clock.advance(pauseMs);
        await aws.outcomes(source, parts);
        counts.push(batches.count);
      }
      expect(counts).toEqual([1, 1, 2, 2, 3]);
      server.origin.handle = serve;
      aws.clock.advance(3_600_000);
      server.calls.splice(0);
      for (let i = 0; i < 2; i++) expect(await aws.outcomes(source, parts)).toEqual(parts);
      expect(server.calls.map(({ action }) => action)).toEqual(["BatchGetSecretValue", "BatchGetSecretValue"]);
    });

    it("are requested individually only once if the service fails altogether, and batches continue", async () => {
      server.intercept = () => ({ status: 500, type: "InternalServiceError", message: "later" });
      const source = aws.make();
      for (const end of await aws.outcomes(source, parts)) expect(end).toMatch(/^SOURCE_STATUS .*\(transient\)$/);
      expect(server.calls.map(({ action }) => action)).toEqual(["BatchGetSecretValue", "GetSecretValue"]);
      server.intercept = () => null;
      expect(await aws.outcomes(source, parts)).toEqual(parts);
      expect(server.calls.at(-1)).toMatchObject({ action: "BatchGetSecretValue" });
    });

    it("are not requested individually if the service throttles", async () => {
      server.intercept = () => ({ status: 400, type: "ThrottlingException", message: "Rate exceeded" });
      for (const end of await aws.outcomes(aws.make(), parts)) expect(end).toMatch(/^SOURCE_STATUS .*throttled/);
      expect(server.calls.map(({ action }) => action)).toEqual(["BatchGetSecretValue"]);
    });
  });

  it("are requested individually if a batch omits them", async () => {
    for (const part of ["a", "b", "c"]) server.put(`app/${part}`, part);
    server.leftOut.add("app/b").add("app/d");
    expect(await aws.outcomes(aws.make(), ["a", "b", "c", "d"])).toEqual(["a", "b", "c", "notThere"]);
    expect(server.asked.sort()).toEqual([
      "BatchGetSecretValue app/a app/b app/c app/d",
      "GetSecretValue app/b",
      "GetSecretValue app/d",
    ]);
  });

  it("do not fail if a batch is refused because of one of them", async () => {
    server.put("app/a", "1");
    server.fail("app/b", "InvalidParameterException", "bad");
    const refused = { status: 400, type: "InvalidParameterException", message: "bad" };
    server.intercept = ({ action }) => (action === "BatchGetSecretValue" ? refused : null);
    const source = aws.make();
    const ends = await aws.outcomes(source, ["a", "b"]);
    expect(ends).toEqual(["1", expect.stringMatching(/^SOURCE_REFUSED .*"app\/b"/)]);
    server.intercept = () => null;
    await aws.outcomes(source, ["a", "c"]);
    expect(server.calls.at(-1)).toMatchObject({ action: "BatchGetSecretValue" });
  });

  it("are limited to max_size concurrent calls in a pool", async () => {
    for (const part of parts) server.put(`app/${part}`, part, "STAGED");
    const serve = server.origin.handle;
    const held: (() => void)[] = [];
    server.origin.handle = (request, response) => held.push(() => serve(request, response));
    const source = aws.make({ versionStage: "STAGED" }, { maxCalls: 2 });
    const leaving = new AbortController();
    const left = source.fetch(contextOf("left", ["left"], leaving.signal)).catch((error: SourceError) => error.code);
    const fetching = parts.map((part) => source.fetch(contextOf(part, [part])));
    leaving.abort();
    expect(await left).toBe("SOURCE_FAILED");
    for (let i = 0; i < parts.length; i++) {
      await server.origin.received(Math.min(i + 2, parts.length));
      expect(held.length).toBeLessThanOrEqual(i + 2);
      held[i]!();
      await fetching[i];
    }
    expect(await Promise.all(fetching)).toHaveLength(parts.length);
    expect(server.calls).toHaveLength(parts.length);
  });

  it("share a client and its batches between sources of one pool", async () => {
    for (const name of ["app/a", "db/b"]) server.put(name, name);
    const one = aws.make();
    const other = aws.makeOver(one.client, { name: "other", key: "db/{1}" });
    const fetching = [one.fetch(contextOf("a", ["a"])), other.fetch(contextOf("b", ["b"]))];
    aws.clock.advance(5);
    expect(await Promise.all(fetching)).toMatchObject([{ type: "value" }, { type: "value" }]);
    expect(server.asked).toEqual(["BatchGetSecretValue app/a db/b"]);
    await one.close();
    expect(await aws.outcome(other, "b")).toBe("db/b");
  });
});

describe("the AWS service", () => {
  it("is asked again if it throttles", async () => {
    server.put("app/one", "v");
    const throttled = { status: 400, type: "ThrottlingException", message: "Rate exceeded" };
    server.intercept = () => (server.calls.length === 1 ? throttled : null);
    expect(await aws.outcome(aws.make())).toBe("v");
    expect(server.calls).toHaveLength(2);
    // The SDK's own word for its adaptive mode.
    expect(server.origin.headers[0]?.["user-agent"]).toMatch(/ m\/([^ ]+,)?F(,|$)/);
  });

  it("causes a temporary failure if it continues to throttle, or fails", async () => {
    process.env.AWS_MAX_ATTEMPTS = "1";
    for (const [status, type] of [
      [400, "ThrottlingException"],
      [500, "InternalServiceError"],
      [503, "ServiceUnavailable"],
    ] as const) {
      server.intercept = () => ({ status, type, message: "later" });
      expect(await aws.outcome(aws.make())).toMatch(/^SOURCE_STATUS .*\(transient\)$/);
    }
  });

  it("is abandoned at the timeout if it hangs, and its connection is closed", async () => {
    server.intercept = () => "hang";
    const limiter = new Limiter(aws.make({}, {}, 3_600_000), looseLimits, aws.clock);
    const failed = expect(limiter.fetch(contextOf("k", ["k"]), "fill", null)).rejects.toMatchObject({
      code: "SOURCE_TIMEOUT",
    });
    await settled();
    aws.clock.advance(5);
    await server.origin.received(1);
    aws.clock.advance(5_000);
    await failed;
    await server.origin.left();
    expect(limiter.inFlight).toBe(0);
  });

  it("is still asked for the secrets of a batch that have waiters", async () => {
    let release = () => {};
    for (const part of ["a", "b"]) server.put(`app/${part}`, part);
    const origin = server.origin;
    const serve = origin.handle;
    origin.handle = (request, response) => {
      release = () => serve(request, response);
    };
    const abort = new AbortController();
    const source = aws.make();
    const left = source.fetch(contextOf("a", ["a"], abort.signal));
    const waits = source.fetch(contextOf("b", ["b"]));
    aws.clock.advance(5);
    await origin.received(1);
    abort.abort();
    await expect(left).rejects.toBeInstanceOf(SourceError);
    release();
    expect(await waits).toMatchObject({ type: "value", value: Buffer.from("b") });
  });

  it("is not asked for secrets whose fetches were abandoned before", async () => {
    const abort = new AbortController();
    const fetching = aws.make().fetch(contextOf("a", ["a"], abort.signal));
    abort.abort();
    await expect(fetching).rejects.toBeInstanceOf(SourceError);
    aws.clock.advance(5);
    expect(server.calls).toEqual([]);
  });

  it("is asked only for the remaining secrets if a fetch was abandoned before", async () => {
    server.put("app/b", "2");
    const abort = new AbortController();
    const source = aws.make();
    const failed = expect(source.fetch(contextOf("a", ["a"], abort.signal))).rejects.toBeInstanceOf(SourceError);
    abort.abort();
    expect(await aws.outcome(source, "b")).toBe("2");
    await failed;
    expect(server.asked).toEqual(["GetSecretValue app/b"]);
  });

  it("is unreachable if it does not exist", async () => {
    process.env.AWS_MAX_ATTEMPTS = "1";
    const endpoint = `http://127.0.0.1:${await freePort()}`;
    expect(await aws.outcome(aws.make({}, { endpoint }))).toMatch(/^SOURCE_UNREACHABLE /);
  });

  it("causes a failure that shows nothing of its answer if that answer is unexpected", async () => {
    process.env.AWS_MAX_ATTEMPTS = "1";
    server.origin.handle = (_request, response) => response.end('{"SecretString":"hidden');
    const text = await aws.outcome(aws.make());
    expect(text).toMatch(/^SOURCE_FAILED /);
    expect(text).not.toContain("hidden");
  });

  it("is disconnected when the source is closed, including running requests", async () => {
    server.intercept = () => "hang";
    const source = aws.make();
    const fetching = source.fetch(contextOf("a", ["a"]));
    const failed = expect(fetching).rejects.toBeInstanceOf(SourceError);
    aws.clock.advance(5);
    await server.origin.received(1);
    await Promise.all([failed, server.origin.left(), source.close()]);
    expect(await aws.outcome(source)).toMatch(/^SOURCE_FAILED /);
  });
});

describe("an AWS connection", () => {
  const profiles = `
    [profile other]
    region = ap-southeast-2
    aws_access_key_id = AKIDOFPROFILE
    aws_secret_access_key = key-of-profile
  `.replace(/^ +/gm, "");

  beforeEach(() => {
    server.put("app/one", "v");
  });

  it("uses the region and credentials of the environment", async () => {
    expect(await aws.outcome(aws.make())).toBe("v");
    expect(server.calls).toMatchObject([{ accessKeyId: ACCESS_KEY, region: "eu-west-1", service: "secretsmanager" }]);
  });

  it("uses the configured region", async () => {
    expect(await aws.outcome(aws.make({}, { region: "us-west-2" }))).toBe("v");
    expect(server.calls).toMatchObject([{ region: "us-west-2" }]);
  });

  it("uses the region and credentials of the configured profile", async () => {
    await aws.useEnvironment({}, profiles);
    server.addKey("AKIDOFPROFILE", "key-of-profile");
    expect(await aws.outcome(aws.make({}, { profile: "other" }))).toBe("v");
    expect(server.calls).toMatchObject([{ accessKeyId: "AKIDOFPROFILE", region: "ap-southeast-2" }]);
  });

  it("assumes the configured role", async () => {
    process.env.AWS_ENDPOINT_URL_STS = server.url;
    const source = aws.make({}, { assumeRole: ROLE });
    expect([await aws.outcome(source), await aws.outcome(source)]).toEqual(["v", "v"]);
    expect(server.calls).toMatchObject([
      { action: "AssumeRole", ids: [ROLE, "platypus"], accessKeyId: ACCESS_KEY, service: "sts", region: "eu-west-1" },
      { action: "GetSecretValue", accessKeyId: expect.stringMatching(/^ASIA/) },
      { action: "GetSecretValue" },
    ]);
  });

  it("assumes a role with the credentials of its profile", async () => {
    await aws.useEnvironment({}, profiles);
    process.env.AWS_ENDPOINT_URL_STS = server.url;
    server.addKey("AKIDOFPROFILE", "key-of-profile");
    expect(await aws.outcome(aws.make({}, { assumeRole: ROLE, profile: "other" }))).toBe("v");
    expect(server.calls).toMatchObject([
      { action: "AssumeRole", accessKeyId: "AKIDOFPROFILE", region: "ap-southeast-2" },
      { action: "GetSecretValue", region: "ap-southeast-2" },
    ]);
  });

  it("fails the source, once per batch, if its role cannot be assumed", async () => {
    process.env.AWS_ENDPOINT_URL_STS = server.url;
    server.intercept = () => ({ status: 403, type: "AccessDenied", message: "not authorized: sts:AssumeRole" });
    const ends = await aws.outcomes(aws.make({}, { assumeRole: ROLE }), ["one", "two"]);
    for (const end of ends) {
      expect(end).toBe("SOURCE_FAILED source vault: no AWS credentials: AWS refused them (AccessDenied, status 403)");
    }
    expect(server.calls.map(({ action }) => action)).toEqual(["AssumeRole"]);
  });

  it("is abandoned at the timeout if its role is never granted", async () => {
    process.env.AWS_ENDPOINT_URL_STS = server.url;
    server.intercept = () => "hang";
    const limiter = new Limiter(aws.make({}, { assumeRole: ROLE }), looseLimits, aws.clock);
    const failed = expect(limiter.fetch(contextOf("k", ["k"]), "fill", null)).rejects.toMatchObject({
      code: "SOURCE_TIMEOUT",
    });
    await settled();
    aws.clock.advance(5);
    await server.origin.received(1);
    aws.clock.advance(5_000);
    await failed;
    await settled();
    expect(limiter.inFlight).toBe(0);
  });

  it("requests its role again if the first request fails", async () => {
    Object.assign(process.env, { AWS_ENDPOINT_URL_STS: server.url, AWS_MAX_ATTEMPTS: "1" });
    server.intercept = () => (server.calls.length === 1 ? "hang" : null);
    const source = aws.make({}, { assumeRole: ROLE }, 500);
    expect(await aws.outcome(source)).toMatch(/^SOURCE_FAILED source vault: no AWS credentials: /);
    expect(await aws.outcome(source)).toBe("v");
  });

  it("fails if its signature is not accepted", async () => {
    process.env.AWS_SECRET_ACCESS_KEY = "another";
    expect(await aws.outcome(aws.make())).toMatch(
      /^SOURCE_FAILED .*does not accept the credentials \(InvalidSignature/,
    );
    expect(server.badSignatures).not.toEqual([]);
    expect(server.calls).toEqual([]);
  });

  it("reports missing credentials or a missing region", async () => {
    await aws.useEnvironment({ AWS_REGION: "eu-west-1" });
    expect(await aws.outcome(aws.make())).toMatch(/^SOURCE_FAILED source vault: no AWS credentials: /);
    await aws.useEnvironment(accessKeys);
    expect(await aws.outcome(aws.make())).toMatch(/^SOURCE_FAILED source vault: no AWS region is set/);
  });
});
