import { describe, expect, it } from "vitest";
import { type PlacementConfig, warningsOf } from "../../src/config/config.ts";
import { ConfigError } from "../../src/errors.ts";
import { nativeConfig } from "../support/rigs/native-config.ts";

function placementOf(settings: string, servers = '"a:1", "b:1"'): PlacementConfig {
  return nativeConfig(`[target]\nservers = [${servers}]\n${settings}`).pools[0]!.placement;
}

/** Every problem as `line: message`; the settings begin on line 3. */
function problems(settings: string, servers = '"a:1", "b:1"'): string[] {
  try {
    placementOf(settings, servers);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(({ line, message }) => `${line}: ${message}`);
  }
  return [];
}

describe("the placement of a pool", () => {
  it("defaults to ketama by md5", () => {
    expect(placementOf("")).toEqual({ type: "ketama", keyHash: "md5", hashTag: "" });
  });

  it("can be twemproxy's, with its hash of the key and tags", () => {
    const settings = 'hash_key = "fnv1a_64"\nhash_tag = "{}"';
    expect(placementOf(settings)).toEqual({ type: "ketama", keyHash: "fnv1a_64", hashTag: "{}" });
    expect(placementOf(`hash = "modula"\n${settings}`)).toEqual({ type: "modula", keyHash: "fnv1a_64", hashTag: "{}" });
    expect(placementOf('hash = "random"')).toEqual({ type: "random" });
  });

  it("can be Dalli's", () => {
    expect(placementOf('hash = "dalli"')).toEqual({ type: "dalli" });
  });

  it("can be mcrouter's, with salt, weights up to 1, and names or addresses as tags", () => {
    const servers = '"a 4 first", "b:2 1"';
    const tags = ["first", "b:2"];
    const weights = [1, 0.25];
    expect(placementOf('hash = "ch3"\nsalt = "s"')).toEqual({ type: "ch3", salt: "s" });
    expect(placementOf('hash = "crc32"')).toEqual({ type: "crc32", salt: "" });
    expect(placementOf('hash = "const_shard"')).toEqual({ type: "const_shard", salt: "" });
    expect(placementOf('hash = "weighted_ch3"', '"a 4", "b:2 1"')).toEqual({ type: "weighted_ch3", salt: "", weights });
    expect(placementOf('hash = "rendezvous"', '"a 1 first", "b:2"')).toEqual({ type: "rendezvous", salt: "", tags });
    expect(placementOf('hash = "weighted_rendezvous"', servers)).toEqual({
      type: "weighted_rendezvous",
      salt: "",
      tags,
      weights,
    });
  });

  it("must be a known placement", () => {
    expect(problems('hash = "ch4"')).toEqual([
      '3: target.hash: expected "ketama" or "modula" or "random" or "dalli" or "ch3" or "weighted_ch3" or "crc32" or "const_shard" or "rendezvous" or "weighted_rendezvous", got "ch4"; did you mean "ch3"?',
    ]);
    expect(problems('hash_key = "sha1"')[0]).toMatch(
      /^3: target\.hash_key: expected "one_at_a_time" or "md5" or .*"sha1"/,
    );
    expect(problems('hash_tag = "{"')).toEqual(['3: target.hash_tag: expected two characters, such as "{}"']);
  });

  it("uses each setting beside it", () => {
    expect(problems('hash = "ch3"\nhash_key = "md5"\nhash_tag = "{}"')).toEqual([
      '4: target.hash_key: has no use with hash = "ch3"; ketama, modula have',
      '5: target.hash_tag: has no use with hash = "ch3"; ketama, modula have',
    ]);
    expect(problems('salt = "s"')).toEqual([
      '3: target.salt: has no use with hash = "ketama"; ch3, weighted_ch3, crc32, const_shard, rendezvous, weighted_rendezvous have',
    ]);
    expect(problems('hash = "ch3"', '"a 2", "b 1 name"')).toEqual([
      '2: target.servers: a weight has no use with hash = "ch3"; ketama, modula, dalli, weighted_ch3, weighted_rendezvous have',
      '2: target.servers: a name has no use with hash = "ch3"; ketama, modula, rendezvous, weighted_rendezvous have',
    ]);
    expect(problems("", '"a 1 name", "b 1 name"')).toEqual([
      `2: target.servers[1]: the name "name" is another server's`,
    ]);
    expect(problems('hash = "ch3"\nhash_tag = ""')).toEqual([]);
  });
});

describe("the warnings of a placement", () => {
  const warnings = (mode: string, settings: string) =>
    warningsOf(nativeConfig(`[server]\nmode = "${mode}"\n[target]\nservers = ["a:1", "b:1"]\n${settings}`));

  it("appear for random, and for a sidecar without an explicit placement", () => {
    expect(warnings("front", "")).toEqual([]);
    expect(warnings("sidecar", 'hash = "ketama"')).toEqual([]);
    expect(warnings("sidecar", "")).toEqual([expect.stringContaining("places keys by ketama")]);
    expect(warnings("front", 'hash = "random"')).toEqual([expect.stringContaining("all servers reach the same items")]);
  });
});
