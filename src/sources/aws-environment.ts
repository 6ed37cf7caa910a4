/** Checks, without AWS requests, whether the AWS SDK will find a region and credentials on this machine. */
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import path from "node:path";
import type { AwsConnection } from "../config/native-aws.ts";
import type { Environment } from "./source-type.ts";

/** Checks the environment and the shared files, where the AWS SDK also looks. */
export async function awsProblems({ region, profile }: AwsConnection, env: Environment): Promise<string[]> {
  const folder = path.join(env.HOME ?? homedir(), ".aws");
  const configFile = await textOf(env.AWS_CONFIG_FILE ?? path.join(folder, "config"));
  const credentialsFile = await textOf(env.AWS_SHARED_CREDENTIALS_FILE ?? path.join(folder, "credentials"));
  const problems: string[] = [];
  const hasRegion = region !== null || isSet(env.AWS_REGION) || /^\s*region\s*=/m.test(configFile);
  if (!hasRegion) problems.push("no AWS region is set (region, AWS_REGION, or a profile)");
  const name = profile ?? env.AWS_PROFILE;
  const files = configFile + credentialsFile;
  const profiles = [...files.matchAll(/^\s*\[\s*(?:profile\s+)?([^\]]*?)\s*\]/gm)].map((match) => match[1]);
  if (isSet(name) && !profiles.includes(name)) {
    problems.push(`the AWS profile ${JSON.stringify(name)} is in none of the shared files`);
  }
  const variables = [
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
  ];
  const hasCredentials = files.trim() !== "" || variables.some((variable) => isSet(env[variable]));
  if (!hasCredentials && !(await mayHaveInstanceRole(env))) {
    problems.push("no AWS credentials are set (environment, shared files, container, or the role of an instance)");
  }
  return problems;
}

/** True on EC2 machines, which may get credentials from a role. */
async function mayHaveInstanceRole(env: Environment): Promise<boolean> {
  if (env.AWS_EC2_METADATA_DISABLED === "true") return false;
  const vendor = await textOf("/sys/devices/virtual/dmi/id/sys_vendor");
  return /amazon/i.test(vendor) || isSet(env.AWS_EC2_METADATA_SERVICE_ENDPOINT);
}

function textOf(file: string): Promise<string> {
  return readFile(file, "utf8").catch(() => "");
}

function isSet(value: string | null | undefined): value is string {
  return value !== undefined && value !== null && value !== "";
}
