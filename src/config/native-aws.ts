/** AWS Secrets Manager in a native configuration: pools that are ways to it, and the connection of a source. */

import type { AwsConnection } from "./config.ts";
import { suggestion } from "./nearest-name.ts";
import { type Place, type Problems, readSection, type Section } from "./section.ts";
import { awsPoolSettings, awsTypes } from "./settings.ts";

interface ConnectionValues {
  readonly region: string | null;
  readonly profile: string | null;
  readonly endpoint: string | null;
  readonly assume_role: string | null;
}

/** What may stand in a template of a secret's name; `:` only in an ARN. */
const literalText = /^[A-Za-z0-9/_+=.@:-]*$/;
const placeholder = /\{\$?\w+(?::path)?\}|%\(\w+\)/g;

/** Whether `[pool.NAME]` is a way to AWS rather than a pool of servers. */
export function isAwsPool(section: Section): boolean {
  const type = section.found.get("type")?.value;
  return awsTypes.some((each) => each === type);
}

/** Reads `[pool.NAME]` of an AWS type. */
export function readAwsPool(name: string, section: Section, problems: Problems): AwsConnection {
  const values = readSection(section, awsPoolSettings, problems, () => {});
  return { ...connectionOf(name, section, values, problems), maxCalls: values.max_size };
}

/** The connection of a source: that of the pool it names, or its own. `pools`: those of an AWS type. */
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

/** A template whose own text no secret's name could hold would never find one. */
export function checkSecretName(template: string, place: Place, problems: Problems): void {
  if (template === "" || !literalText.test(template.replace(placeholder, ""))) {
    problems.add(place, `expected the name of a secret: letters, digits and /_+=.@-, got ${JSON.stringify(template)}`);
  }
}

function connectionOf(
  pool: string | null,
  section: Section,
  { region, profile, endpoint, assume_role: assumeRole }: ConnectionValues,
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
