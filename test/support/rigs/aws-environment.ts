/** The environment variables that the AWS SDK reads, as a test needs them. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

/** Excludes this machine: no files of its home folder, no instance metadata. */
export interface AwsEnvironment {
  /** Puts everything back. */
  restore(): Promise<void>;
}

/**
 * Replaces every `AWS_` variable by `variables`; `profiles` is what the shared configuration file says. The machine's own
 * shared files and instance metadata are out of reach.
 */
export async function awsEnvironment(
  variables: Readonly<Record<string, string>>,
  profiles = "",
): Promise<AwsEnvironment> {
  const folder = await mkdtemp(path.join(tmpdir(), "platypus-aws-"));
  const [config, credentials] = [path.join(folder, "config"), path.join(folder, "credentials")];
  await writeFile(config, profiles);
  await writeFile(credentials, "");
  const before = Object.entries(process.env).filter(([name]) => name.startsWith("AWS_"));
  const clear = () => {
    for (const name of Object.keys(process.env)) if (name.startsWith("AWS_")) delete process.env[name];
  };
  clear();
  Object.assign(process.env, {
    AWS_CONFIG_FILE: config,
    AWS_SHARED_CREDENTIALS_FILE: credentials,
    AWS_EC2_METADATA_DISABLED: "true",
    ...variables,
  });
  return {
    async restore() {
      clear();
      Object.assign(process.env, Object.fromEntries(before));
      await rm(folder, { recursive: true });
    },
  };
}
