/** mcrouter's names of its placements. */
export const hashNames: Readonly<Record<string, string>> = {
  ch3: "Ch3",
  weighted_ch3: "WeightedCh3",
  bucketized: "WeightedCh3",
  crc32: "Crc32",
  const_shard: "ConstShard",
  rendezvous: "Rendezvous",
  weighted_rendezvous: "WeightedRendezvous",
};
