"""A client of OPC UA with a certificate, a name and a password, as asyncua makes one."""

from __future__ import annotations

import asyncio

from asyncua import Client, ua
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from cryptography.x509.oid import ExtendedKeyUsageOID

URI = "urn:gasedge:test"


def make_keys(folder):
    """A client's key and certificate in a folder."""
    usage = [ExtendedKeyUsageOID.CLIENT_AUTH]
    names = folder / "key.pem", folder / "cert.der"
    asyncio.run(setup_self_signed_certificate(*names, URI, "localhost", usage, {}))
    return folder


async def encrypted(gateway, keys, user, password):
    """A client that is not connected yet."""
    client = Client(f"opc.tcp://127.0.0.1:{gateway.ports['opcua']}/gasedge", timeout=20)
    client.application_uri = URI
    client.set_user(user)
    client.set_password(password)
    await client.set_security(
        SecurityPolicyBasic256Sha256,
        certificate=keys / "cert.der",
        private_key=keys / "key.pem",
        mode=ua.MessageSecurityMode.SignAndEncrypt,
    )
    return client
