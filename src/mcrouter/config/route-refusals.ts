/** Types of route handles that mcrouter has and Platypus refuses. */

/** Reason for features that only Facebook can use. */
export const ofFacebook =
  "is Facebook's own and needs what only their servers and tools have; Platypus does not have it";

/** The reason why each type is refused. */
export const routeRefusals: Readonly<Record<string, string>> = Object.fromEntries(
  [
    "StagingRoute",
    "SaltedFailoverRoute",
    "KeyParseRoute",
    "BlackholeRoute",
    "OriginalClientHashRoute",
    "McBucketRoute",
    "DistributionRoute",
    "SetDistributionTargetRoute",
    "CarbonLookasideRoute",
    "SRRoute",
    "AxonLogRoute",
    "McRefillRoute",
  ]
    .map((name) => [name, `${name} ${ofFacebook}`])
    .concat([
      [
        "LoadBalancerRoute",
        "LoadBalancerRoute goes by the load that servers report, and memcached servers report none",
      ],
      [
        "L1L2SizeSplitRoute",
        "L1L2SizeSplitRoute needs servers that keep its sentinels from other clients; memcached does not",
      ],
    ]),
);
