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
  // alarms of the node, usually Server (i=2253): one command a line, one answer a line
  async conditions(session, nodes, next) {
    const subscription = await session.createSubscription2({
      requestedPublishingInterval: 50, requestedMaxKeepAliveCount: 20,
      requestedLifetimeCount: 1000, publishingEnabled: true, maxNotificationsPerPublish: 1000,
      priority: 1,
    });
    const fields = [
      "EventId", "EventType", "SourceName", "Time", "Message", "Severity", "ConditionName",
      "BranchId", "Retain", "Quality", "Comment", "ClientUserId", "ActiveState", "ActiveState.Id",
      "AckedState.Id", "ConfirmedState.Id", "ShelvingState.CurrentState",
      "ShelvingState.CurrentState.Id", "ShelvingState.UnshelveTime", "SuppressedOrShelved",
      "OutOfServiceState.Id",
    ];
    // as node-opcua's own alarm monitoring asks: of this type or below, and which condition it is
    const filter = ua.constructEventFilter(fields, ua.ofType("AcknowledgeableConditionType"));
    filter.selectClauses.push(new ua.SimpleAttributeOperand({
      attributeId: ua.AttributeIds.NodeId, typeDefinitionId: "i=2782",
    }));
    const events = [];
    const take = (values) => {
      const event = { condition: String(values[fields.length].value) };
      fields.forEach((name, place) => {
        const value = values[place].value;
        event[name] = value && value.text !== undefined ? value.text
          : value && value.name !== undefined ? value.name
          : value && value.identifierType !== undefined ? value.toString() : plain(value);
      });
      events.push(event);
    };
    const item = await subscription.monitor(
      { nodeId: nodes[0], attributeId: ua.AttributeIds.EventNotifier },
      { samplingInterval: 0, queueSize: 1000, discardOldest: true, filter },
      ua.TimestampsToReturn.Both);
    item.on("changed", take);
    answer({ watching: true });
    const bytes = (text) => Buffer.from(text, "base64");
    for (;;) {
      const line = (await next()).value;
      if (!line) break;
      const given = JSON.parse(line);
      let status = null;
      if (given.do === "events") {
        answer({ events: events.splice(0) });
        continue;
      }
      if (given.do === "refresh") {
        const id = given.item ? "i=12912" : "i=3875";
        const inputArguments = [{ dataType: "UInt32", value: subscription.subscriptionId }];
        if (given.item) inputArguments.push({ dataType: "UInt32", value: item.monitoredItemId });
        const done = await session.call({ objectId: "i=2782", methodId: id, inputArguments });
        status = done.statusCode;
      } else if (given.do === "acknowledge") {
        status = await session.acknowledgeCondition(
          given.condition, bytes(given.event), given.comment);
      } else if (given.do === "confirm") {
        status = await session.confirmCondition(
          given.condition, bytes(given.event), given.comment);
      } else if (given.do === "comment") {
        status = await session.addCommentCondition(
          given.condition, bytes(given.event), given.comment);
      } else {
        const done = await session.call({
          objectId: given.object, methodId: given.method, inputArguments: given.arguments || [],
        });
        status = done.statusCode;
      }
      answer({ status: status.name });
    }
    await subscription.terminate();
    return { ended: true };
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
