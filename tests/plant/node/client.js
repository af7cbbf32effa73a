// An OPC UA client of another make (node-opcua) for the tests: one JSON request a line on standard
// input, one JSON answer a line on standard output. node client.js FOLDER_FOR_CERTIFICATES
"use strict";
const readline = require("node:readline");
const ua = require("node-opcua-client");
const { OPCUACertificateManager } = require("node-opcua-certificate-manager");

const folder = process.argv[2];
const certificates = new OPCUACertificateManager({
  rootFolder: folder, automaticallyAcceptUnknownCertificate: true,
});
const answer = (value) => process.stdout.write(JSON.stringify(value) + "\n");

const plain = (value) => {
  if (value === null || value === undefined) return null;
  if (value instanceof Date) return value.toISOString();
  if (Buffer.isBuffer(value)) return { base64: value.toString("base64") };
  if (ArrayBuffer.isView(value)) return Array.from(value);
  return value;
};

const actions = {
  async read(session, nodes) {
    const result = {};
    const values = await session.read(
      nodes.map((nodeId) => ({ nodeId, attributeId: ua.AttributeIds.Value })));
    values.forEach((each, place) => {
      result[nodes[place]] = {
        value: plain(each.value ? each.value.value : null),
        type: each.value ? ua.DataType[each.value.dataType] : null,
        status: each.statusCode.name,
        source: plain(each.sourceTimestamp),
        server: plain(each.serverTimestamp),
      };
    });
    return result;
  },
  async write(session, nodes) {
    const status = await session.write(nodes.map((nodeId) => ({
      nodeId, attributeId: ua.AttributeIds.Value,
      value: { value: { dataType: ua.DataType.Byte, value: 0 } },
    })));
    return { status: status.map((each) => each.name) };
  },
  async browse(session, nodes) {
    const result = {};
    for (const nodeId of nodes) {
      const found = await session.browse(nodeId);
      result[nodeId] = found.references.map((each) => each.nodeId.toString());
    }
    return result;
  },
  // answers `watching` at once, and what changed when the next line comes in
  async watch(session, nodes, next) {
    const subscription = await session.createSubscription2({
      requestedPublishingInterval: 50, requestedMaxKeepAliveCount: 20,
      requestedLifetimeCount: 1000, publishingEnabled: true, maxNotificationsPerPublish: 1000,
      priority: 1,
    });
    const changes = [];
    for (const nodeId of nodes) {
      const item = await subscription.monitor(
        { nodeId, attributeId: ua.AttributeIds.Value },
        { samplingInterval: 50, queueSize: 50, discardOldest: true },
        ua.TimestampsToReturn.Both);
      item.on("changed", (each) => changes.push({
        nodeId, value: plain(each.value ? each.value.value : null), status: each.statusCode.name,
      }));
    }
    answer({ watching: true });
    await next();
    await subscription.terminate();
    return { changes };
  },
};

async function serve(request, next) {
  const client = ua.OPCUAClient.create({
    applicationName: "gasedge-test",
    securityPolicy: ua.SecurityPolicy[request.policy],
    securityMode: ua.MessageSecurityMode[request.mode],
    endpointMustExist: false,
    connectionStrategy: { maxRetry: 0 },
    clientCertificateManager: certificates,
  });
  try {
    await client.connect(request.endpoint);
    const identity = request.user
      ? { type: ua.UserTokenType.UserName, userName: request.user, password: request.password }
      : { type: ua.UserTokenType.Anonymous };
    const session = await client.createSession(identity);
    const result = await actions[request.action](session, request.nodes, next);
    await session.close();
    return result;
  } catch (error) {
    return { error: String(error.message || error) };
  } finally {
    await client.disconnect();
  }
}

async function main() {
  const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  for (;;) {
    const { value, done } = await lines.next();
    if (done) process.exit(0);
    answer(await serve(JSON.parse(value), () => lines.next()));
  }
}

main();
