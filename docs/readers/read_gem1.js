// Read a GEM1 gas mask with Node's standard library alone; see ../mask-format.md.
//
// node read_gem1.js mask.gem1 > mask.pgm
"use strict";
const zlib = require("node:zlib");

// The header as an object, and the pixels as bytes of 0 and 1, row after row.
function readGem1(data) {
  const payload = data.subarray(76);
  const head = {
    width: data.readUInt16LE(6), height: data.readUInt16LE(8), frameSeq: data.readBigUInt64LE(12),
    capturedNs: data.readBigUInt64LE(20), monotonicNs: data.readBigUInt64LE(28),
    score: data.readUInt16LE(36) === 65535 ? null : data.readUInt16LE(36) / 10000,
    state: data.readUInt16LE(38), modelSha256: data.subarray(44, 76).toString("hex"),
  };
  const pixels = head.width * head.height;
  if (data.toString("latin1", 0, 5) !== "GEM1\x01" || data.readUInt16LE(10) !== 0)
    throw new Error("not a GEM1 mask of version 1");
  if (payload.length !== data.readUInt32LE(40) || !pixels || pixels > 1 << 23)
    throw new Error("the mask is cut off or too large");
  const mask = Buffer.alloc(pixels);
  let at = 0;
  if (data[5] === 0) {
    for (; at < pixels; at++) mask[at] = (payload[at >> 3] >> (7 - (at & 7))) & 1;
    if (payload.length !== (pixels + 7) >> 3) throw new Error("the bitmap does not fill the mask");
  } else {
    let gas = 0, length = 0, shift = 0;
    for (const octet of zlib.inflateSync(payload, { maxOutputLength: pixels + 1 })) {
      length |= (octet & 0x7f) << shift;
      shift += 7;
      if (octet & 0x80) continue;
      if (at + length > pixels) throw new Error("the runs are longer than the mask");
      mask.fill(gas, at, at + length);
      [at, gas, length, shift] = [at + length, 1 - gas, 0, 0];
    }
  }
  if (at !== pixels) throw new Error("the mask does not fill its pixels");
  return { head, mask };
}

module.exports = { readGem1 };
if (require.main === module) {
  const { head, mask } = readGem1(require("node:fs").readFileSync(process.argv[2]));
  console.error(head);
  process.stdout.write(Buffer.concat([Buffer.from(`P5 ${head.width} ${head.height} 1\n`), mask]));
}
