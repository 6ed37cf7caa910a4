/** The resource of all exports: the service, its process and its host. */
import {
  defaultResource,
  detectResources,
  hostDetector,
  processDetector,
  type Resource,
  resourceAttributesEnvDetector,
  resourceFromAttributes,
  serviceInstanceIdDetector,
} from "@opentelemetry/resources";
import type { TelemetryConfig } from "../../config/config.ts";

/** The version of OpenTelemetry's semantic conventions that names of attributes and metrics follow. */
export const SCHEMA_URL = "https://opentelemetry.io/schemas/1.37.0";

export function resourceOf({ serviceName }: TelemetryConfig, version: string): Resource {
  const own = resourceFromAttributes(
    { "service.name": serviceName, "service.version": version },
    { schemaUrl: SCHEMA_URL },
  );
  const detected = detectResources({
    detectors: [hostDetector, processDetector, serviceInstanceIdDetector, resourceAttributesEnvDetector],
  });
  return defaultResource().merge(detected).merge(own);
}
