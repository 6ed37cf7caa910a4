/** The types of sources. A new type is a file, and a row here. */
import type { SourceConfig } from "../config/source-types.ts";
import { awsSecretsManagerType } from "./aws-secrets-manager.ts";
import { echoType } from "./echo.ts";
import { fileType } from "./file.ts";
import { getterType } from "./getter.ts";
import { httpType } from "./http.ts";
import { mergeType } from "./merge.ts";
import { moduleType } from "./module.ts";
import { SourceReader } from "./read.ts";
import type { SourceType } from "./source-type.ts";

/** Types that a file may name, in the order of docs/configuration.md. */
export const fileTypes: readonly SourceType[] = [
  echoType,
  fileType,
  httpType,
  mergeType,
  moduleType,
  awsSecretsManagerType,
];

const allTypes = [...fileTypes, getterType];

/** Reads the sources of a file. */
export const sourceTypes = new SourceReader(fileTypes);

/** Reads the sources of a program, including functions. */
export const sourceTypesOfCode = new SourceReader(allTypes);

/** The type of a source. */
export function typeOf({ type }: SourceConfig): SourceType {
  return allTypes.find(({ names }) => names[0] === type)!;
}
