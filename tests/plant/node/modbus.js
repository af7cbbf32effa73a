// Everything that Modbus has of one unit, read with modbus-serial: node modbus.js PORT UNIT
"use strict";
const Modbus = require("modbus-serial");

async function main([port, unit]) {
  const client = new Modbus();
  await client.connectTCP("127.0.0.1", { port: Number(port) });
  client.setID(Number(unit));
  client.setTimeout(3000);
  const identity = await client.readDeviceIdentification(2, 0);
  const words = (await client.readInputRegisters(0, 125)).data;
  const bits = (await client.readDiscreteInputs(0, 16)).data.slice(0, 16);
  const refused = {};
  const asks = {
    write: () => client.writeRegister(2, 0), beyond: () => client.readInputRegisters(124, 2),
  };
  for (const [name, ask] of Object.entries(asks))
    await ask().catch((error) => { refused[name] = error.modbusCode; });
  process.stdout.write(JSON.stringify({ words, bits, identity: identity.data, refused }) + "\n");
  client.close(() => process.exit(0));
}

main(process.argv.slice(2)).catch((error) => {
  process.stderr.write(String(error) + "\n");
  process.exit(1);
});
