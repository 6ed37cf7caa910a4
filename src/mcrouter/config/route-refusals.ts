/** Types of route handles that mcrouter has and Platypus refuses. */

/** Reason for features that only Facebook can use. */
const ofFacebook = "needs servers or tools that only Facebook has";

/** The reason why each type is refused. */
export const routeRefusals: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries({
    StagingRoute: ofFacebook,
    McBucketRoute: ofFacebook,
    DistributionRoute: ofFacebook,
    SetDistributionTargetRoute: ofFacebook,
    SRRoute: ofFacebook,
    AxonLogRoute: ofFacebook,
    McRefillRoute: ofFacebook,
    CarbonLookasideRoute:
      "caches replies in mcrouter's Carbon form, which no memcached client reads; mcrouter itself has it for its tests only",
    LoadBalancerRoute: "needs the load that servers report, and memcached servers do not report it",
  }).map(([name, reason]) => [name, `${name} ${reason}`]),
);
