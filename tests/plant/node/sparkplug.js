// Decodes Sparkplug B payloads with Cirrus Link's own decoder: base64 lines in, JSON lines out.
"use strict";
const decoder = require("sparkplug-payload").get("spBv1.0");

function plain(key, value) {
  if (value instanceof Object && "low" in value && "high" in value)
    return ((BigInt(value.high >>> 0) << 32n) + BigInt(value.low >>> 0)).toString(); // 64 bits
  return value;
}

function said(line) {
  try {
    const payload = decoder.decodePayload(Buffer.from(line, "base64"));
    for (const metric of payload.metrics || [])
      if (metric.value instanceof Uint8Array)
        metric.value = { base64: Buffer.from(metric.value).toString("base64") };
    return payload;
  } catch (error) {
    return { error: String(error) };
  }
}

require("readline")
  .createInterface({ input: process.stdin })
  .on("line", (line) => process.stdout.write(JSON.stringify(said(line), plain) + "\n"));
