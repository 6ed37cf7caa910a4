/**
 * Exports of this folder for other folders. They are loaded together, only for a mcrouter configuration or command
 * line.
 */
export { configFileOf, dumpPlaceOf, loadMcrouterConfig } from "./config/config.ts";
export { readFlavor } from "./config/flavor.ts";
export { isMcrouterCommandLine, McrouterOptions, parseMcrouterArguments } from "./config/options.ts";
export { treeWarnings } from "./config/read-tree.ts";
export { onlyPoolOf, treeOfRoutes } from "./key-routes.ts";
export { plainPoolOf } from "./plain-pool.ts";
export { AsyncLog } from "./report/async-log.ts";
export { dumpConfig, readDump } from "./report/config-dump.ts";
export { RecordedTree } from "./report/recorded-tree.ts";
export { replayAsyncLogs } from "./report/replay.ts";
export { SelfReport } from "./report/self-report.ts";
export { NativeRoot } from "./routes/native-root.ts";
export { RootRoute } from "./routes/root-route.ts";
export { guaranteeText, ruleGuarantees } from "./rule-guarantees.ts";
export { TreeBuilder } from "./tree.ts";
