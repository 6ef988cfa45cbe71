// The binary packets of a WebSocket call: twelve bytes of header, then audio.

export const PCM = 1;     // 16 bit, signed, little-endian, mono
export const OPUS = 2;
export const SILENCE = 3; // nothing follows

const HEADER = 12;

/** An ArrayBuffer to send. `timestamp` is in ms; both numbers wrap at 32 bits. */
export function encodePacket(kind, sequence, timestamp, payload) {
  const packet = new Uint8Array(HEADER + payload.byteLength);
  const view = new DataView(packet.buffer);
  view.setUint8(0, kind);
  view.setUint32(4, sequence);
  view.setUint32(8, timestamp);
  packet.set(new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength), HEADER);
  return packet.buffer;
}

/** {kind, sequence, timestamp, payload} of an ArrayBuffer; null if it is no packet. */
export function decodePacket(buffer) {
  if (buffer.byteLength < HEADER) return null;
  const view = new DataView(buffer);
  const kind = view.getUint8(0);
  if (kind < PCM || kind > SILENCE) return null;
  return {
    kind,
    sequence: view.getUint32(4),
    timestamp: view.getUint32(8),
    payload: new Uint8Array(buffer, HEADER),
  };
}
