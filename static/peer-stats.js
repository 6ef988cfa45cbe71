// Which way a peer connection takes, and how good it is.

/** {kind, loss (%), jitter (ms), details, ...}; loss is that since `before`, an earlier result. */
export async function measurePeer(peer, before) {
  const stats = await peer.getStats();
  const all = [...stats.values()];
  const pair = selectedPair(stats, all);
  const local = pair && stats.get(pair.localCandidateId);
  const remote = pair && stats.get(pair.remoteCandidateId);
  const audio = all.find(({ type, kind }) => type === "inbound-rtp" && kind === "audio");
  const received = audio?.packetsReceived ?? 0;
  const lost = audio?.packetsLost ?? 0;
  const newlyLost = Math.max(0, lost - (before?.lost ?? 0));
  const packets = newlyLost + Math.max(0, received - (before?.received ?? 0));
  return {
    kind: pathKind(local, remote),
    loss: packets ? (100 * newlyLost) / packets : 0,
    jitter: 1000 * (audio?.jitter ?? 0),
    details: {
      local: address(local),
      remote: address(remote),
      held: audio?.jitterBufferEmittedCount
        ? (1000 * audio.jitterBufferDelay) / audio.jitterBufferEmittedCount
        : null,
    },
    received,
    lost,
  };
}

function selectedPair(stats, all) {
  const transport = all.find(({ type }) => type === "transport");
  return stats.get(transport?.selectedCandidatePairId)
    ?? all.find(({ type, selected, nominated, state }) => type === "candidate-pair"
      && (selected ?? (nominated && state === "succeeded")));
}

function pathKind(local, remote) {
  if (!local || !remote) return null;
  if (local.candidateType === "relay" || remote.candidateType === "relay") return "relay";
  return local.protocol === "tcp" || remote.protocol === "tcp" ? "TCP" : "UDP";
}

function address(candidate) {
  if (!candidate) return null;
  const { protocol, candidateType } = candidate;
  const host = candidate.address ?? candidate.ip;
  return `${candidateType} ${protocol} ${host ? `${host}:${candidate.port}` : ""}`.trim();
}
