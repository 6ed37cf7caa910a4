/** AWS Secrets Manager in a native configuration: AWS pools, and the AWS connection of a source. */

import { suggestion } from "./nearest-name.ts";
import { type Place, type Problems, readSection, type Section } from "./section.ts";
import { awsPoolSettings, awsTypes } from "./settings.ts";

/**
 * Settings of a connection to AWS. The SDK finds `null` values itself: in the environment, shared files, or the
 * instance.
 */
export interface AwsConnection {
  /**
   * The `[pool.NAME]` of the connection: sources of one pool share a client. `null` if the source has a separate
   * connection.
   */
  readonly pool: string | null;
  readonly region: string | null;
  /** Profile in the shared configuration and credentials files. */
  readonly profile: string | null;
  /** URL that replaces AWS' endpoint. */
  readonly endpoint: string | null;
  /** ARN of a role. */
  readonly assumeRole: string | null;
  /** Maximum number of calls in flight. `null` if there is no limit. */
  readonly maxCalls: number | null;
}

interface ConnectionValues {
  readonly region: string | null;
  readonly profile: string | null;
  readonly endpoint: string | null;
  readonly assumeRole: string | null;
}

/** True if `[pool.NAME]` is a connection to AWS, not a pool of servers. */
export function isAwsPool(section: Section): boolean {
  const type = section.found.get("type")?.value;
  return awsTypes.some((each) => each === type);
}

/** Reads a `[pool.NAME]` with an AWS type. */
export function readAwsPool(name: string, section: Section, problems: Problems): AwsConnection {
  const values = readSection(section, awsPoolSettings, problems);
  return { ...connectionOf(name, section, values, problems), maxCalls: values.maxCalls };
}

/** The connection of a source: that of the pool that it names, or a separate one. `pools` holds the AWS pools. */
export function readAwsConnection(
  section: Section,
  values: ConnectionValues & { readonly pool: string | null },
  pools: ReadonlyMap<string, AwsConnection>,
  problems: Problems,
): AwsConnection {
  const own = connectionOf(null, section, values, problems);
  if (values.pool === null) return own;
  for (const key of ["region", "profile", "endpoint", "assume_role"]) {
    const found = section.found.get(key);
    if (found !== undefined) problems.add(found.place, `belongs into [pool.${values.pool}], whose connection is used`);
  }
  const shared = pools.get(values.pool);
  if (shared === undefined) {
    const lack = `there is no [pool.${values.pool}] with type = "aws_secrets_manager"`;
    problems.add(placeOf(section, "pool"), `${lack}${suggestion(values.pool, pools.keys())}`);
  }
  return shared ?? own;
}

function connectionOf(
  pool: string | null,
  section: Section,
  { region, profile, endpoint, assumeRole }: ConnectionValues,
  problems: Problems,
): AwsConnection {
  const check = (key: string, value: string | null, isGood: (text: string) => boolean, expected: string) => {
    if (value !== null && !isGood(value)) problems.add(placeOf(section, key), `expected ${expected}`);
  };
  check("region", region, (text) => /^[a-z0-9-]+$/.test(text), 'a region such as "eu-central-1"');
  check("profile", profile, (text) => text !== "", "the name of a profile");
  check("endpoint", endpoint, isEndpoint, "http://HOST or https://HOST, with a port if need be");
  check(
    "assume_role",
    assumeRole,
    (text) => /^arn:[a-z-]+:iam::\d{12}:role\/[\w+=,.@/-]+$/.test(text),
    'the ARN of a role, such as "arn:aws:iam::123456789012:role/cache"',
  );
  return { pool, region, profile, endpoint, assumeRole, maxCalls: null };
}

function isEndpoint(text: string): boolean {
  const url = /^https?:\/\//.test(text) ? URL.parse(text) : null;
  return url !== null && url.username === "" && url.password === "" && url.search === "" && url.hash === "";
}

function placeOf(section: Section, key: string): Place {
  return section.found.get(key)?.place ?? section.place;
}
