// The documented JavaScript reader for the tests: one GEM1 mask in base64 a line on standard input,
// {width, height, score, sha256, pixels in base64} or {error} a line on standard output.
"use strict";
const readline = require("node:readline");
const { readGem1 } = require("../../../docs/readers/read_gem1.js");

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  let answer;
  try {
    const { head, mask } = readGem1(Buffer.from(line, "base64"));
    const plain = (key, value) => (typeof value === "bigint" ? value.toString() : value);
    answer = { ...JSON.parse(JSON.stringify(head, plain)), pixels: mask.toString("base64") };
  } catch (error) {
    answer = { error: String(error.message || error) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
});
