"""Certificates that strangers show to OPC UA and that people enrol, DER or PEM."""

from __future__ import annotations

import contextlib
import datetime as dt
import ssl
import tempfile
from pathlib import Path

from contract.errors import InputError
from edge_runtime.plant.device_certificate import device_certificate
from edge_runtime.plant.trust import read_certificate
from tests.fuzz.target import Target


def seeds():
    with tempfile.TemporaryDirectory() as folder:
        path, _ = device_certificate(Path(folder), "urn:gasedge:fuzz")
        der = path.read_bytes()
    return [der, ssl.DER_cert_to_PEM_cert(der).encode()]


def run(data):
    with contextlib.suppress(InputError):
        read_certificate(data).fault(dt.datetime.now(dt.timezone.utc))


@contextlib.contextmanager
def opened():
    yield run


TARGET = Target("certificates", opened, seeds, max_bytes=20_000)
