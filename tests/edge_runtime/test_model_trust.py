"""A device opens what its configuration trusts, and remembers how old a model may be."""

from __future__ import annotations

import logging
import threading

import pytest

from contract.bundle import Bundle
from contract.errors import ConfigError, IntegrityError
from contract.precision import Precision
from contract.signing_revocation import RevocationList, write_revocations
from contract.tags import HealthCode, LeakState, Quality
from edge_runtime.config import load_daemon_config
from edge_runtime.config_check import check_files
from edge_runtime.model import ModelOpener, open_model
from edge_runtime.model_trust import COUNTER, SEEN, keep_counter, kept_counter, trust_of
from edge_runtime.pipeline import Pipeline
from gasedge.cli import main
from tests.edge_runtime.conftest import wait_for
from tests.signing import KEY, TRUST, TRUST_TABLE, open_signed, sign

CONFIG = """\
[model]
bundle = "tiny.gasedge"
precision = "fp32"
threads = 1

{trust}
[[camera]]
name = "north"
source = "sim:seed=3&width=96&height=64&fps=20"

[plant]
state_dir = "state"
"""


@pytest.fixture
def config(tiny_bundle):
    pytest.importorskip("openvino", reason="pip install 'gasedge[cpu]'")

    def write(trust=TRUST_TABLE):
        path = tiny_bundle.parent / "daemon.toml"
        path.write_text(CONFIG.format(trust=trust))
        return path

    return write


def opener_of(config):
    daemon = load_daemon_config(config)
    state = daemon.plant.state_dir
    opener = ModelOpener(lambda: trust_of(daemon), lambda counter: keep_counter(state, counter))
    return opener, daemon.model


def test_model_that_ran_keeps_older_ones_out_even_when_their_signature_is_right(
    config, tiny_bundle
):
    old = {path: path.read_bytes() for path in tiny_bundle.glob("manifest.*")}
    sign(tiny_bundle, counter=2)
    opener, model = opener_of(config())
    opener(model).close()
    assert kept_counter(tiny_bundle.parent / "state") == 2
    for path, data in old.items():
        path.write_bytes(data)
    with pytest.raises(IntegrityError, match=r"rollback counter is 0, .* has run one with 2"):
        opener(model)
    sign(tiny_bundle, counter=2)
    opener(model).close()
    opener.close()


def test_model_that_fails_its_test_does_not_raise_the_counter(config, tiny_bundle):
    bundle = Bundle.open(tiny_bundle)
    swapped = {bundle.manifest.golden[0].mask(Precision.FP32): _other_mask(bundle)}
    bundle.updated(swapped)
    sign(tiny_bundle, counter=9)
    opener, model = opener_of(config())
    with pytest.raises(Exception, match="known-answer test not passed"):
        opener(model)
    opener.close()
    assert kept_counter(tiny_bundle.parent / "state") == 0


def _other_mask(bundle):
    import cv2
    import numpy as np

    name = bundle.manifest.golden[0].mask(Precision.FP32)
    mask = cv2.imdecode(np.frombuffer(bundle.read(name), np.uint8), cv2.IMREAD_UNCHANGED)
    return cv2.imencode(".png", (mask + 1) % 3)[1].tobytes()


def test_bundle_whose_signature_was_not_checked_is_never_opened(config, tiny_bundle):
    model = load_daemon_config(config()).model
    with pytest.raises(IntegrityError, match="its signature was not checked"):
        open_model(model, Bundle.open(tiny_bundle))


def test_unsigned_model_is_served_as_invalid_and_taken_up_once_it_is_signed(
    config, tiny_bundle, plant, caplog
):
    signature = tiny_bundle / "manifest.sig"
    data = signature.read_bytes()
    signature.unlink()
    daemon = load_daemon_config(config())
    stop = threading.Event()
    with ModelOpener(lambda: trust_of(daemon)) as opener, caplog.at_level(logging.ERROR):
        pipeline = Pipeline(daemon, plant, open_model=opener)
        thread = threading.Thread(target=pipeline.run, args=(stop,))
        thread.start()
        try:
            wait_for(
                lambda: (
                    plant.last
                    and HealthCode.MODEL_INVALID in HealthCode(plant.last.values["Health/Code"])
                ),
                30,
            )
            wait_for(lambda: "is not signed" in caplog.text)
            until = len(plant.snapshots)
            seen = [snapshot for _, snapshot in plant.snapshots[:until]]
            assert {(s.quality, s.values["Leak/State"]) for s in seen} == {
                (Quality.BAD, LeakState.UNKNOWN)
            }
            signature.write_bytes(data)
            wait_for(lambda: plant.last.heartbeat > 0, 60)  # a picture was segmented
        finally:
            stop.set()
            thread.join(15)


def test_a_disk_that_fails_while_the_model_is_opened_is_told_and_ends_nothing(
    config, plant, caplog
):
    failures = [OSError(5, "Input/output error", "model.fp32.engine")]

    def opened(model):
        if failures:
            raise failures.pop()
        return open_signed(model)

    stop = threading.Event()
    pipeline = Pipeline(load_daemon_config(config()), plant, open_model=opened)
    thread = threading.Thread(target=pipeline.run, args=(stop,))
    thread.start()
    try:
        wait_for(lambda: plant.last is not None and plant.last.heartbeat > 0, 60)
    finally:
        stop.set()
        thread.join(15)
    assert "no valid model: [Errno 5] Input/output error" in caplog.text
    codes = {HealthCode(each.values["Health/Code"]) for _, each in plant.snapshots}
    assert any(HealthCode.MODEL_INVALID in code for code in codes)


def test_until_end_does_not_wait_for_a_model_that_is_damaged(config, tiny_bundle, plant):
    (tiny_bundle / "model.fp32.onnx").write_bytes(b"")
    pipeline = Pipeline(load_daemon_config(config()), plant, open_model=open_signed)
    with pytest.raises(IntegrityError, match=r"model\.fp32\.onnx"):
        pipeline.run(threading.Event(), until_end=True)


@pytest.mark.parametrize("table", ["", "[trust]\n", "[trust]\nkeys = []\n"])
def test_without_a_key_nothing_starts_and_the_way_out_is_told(config, table, capsys):
    path = config(table)
    for command in (["run"], ["config", "check"]):
        assert main([*command, str(path)]) == 2
        said = capsys.readouterr().err
        assert "trust.keys: names no public key" in said
        assert "gasedge bundle keygen" in said
    out = path.with_name("t.jsonl")
    assert main(["replay", str(path), "--transcript", str(out), "--source", "sim:frames=2"]) == 2
    assert "trust.keys: names no public key" in capsys.readouterr().err


def test_strangers_bundle_is_refused_by_check_and_replay_in_one_line(config, tiny_bundle, capsys):
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from contract.signing import sign_bundle

    path = config()
    sign_bundle(Bundle.open(tiny_bundle), Ed25519PrivateKey.generate())
    assert main(["config", "check", str(path)]) == 1
    assert "signed by none of the trusted keys" in capsys.readouterr().err
    out = path.with_name("t.jsonl")
    assert main(["replay", str(path), "--transcript", str(out), "--source", "sim:frames=2"]) == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert "signed by none of the trusted keys" in said[-1]
    assert not out.exists()
    check_files(load_daemon_config(path))  # the daemon comes up, and serves it as invalid


def test_revoked_model_no_longer_opens_and_a_damaged_list_stops_every_model(config, tiny_bundle):
    folder = tiny_bundle.parent
    path = config(TRUST_TABLE + 'revoked = "revoked.json"\n')
    with pytest.raises(ConfigError, match=r"trust.revoked: .* is not there"):
        check_files(load_daemon_config(path))
    write_revocations(folder / "revoked.json", RevocationList(models={"other": ""}), KEY)
    opener, model = opener_of(path)
    opener(model).close()
    write_revocations(folder / "revoked.json", RevocationList(models={"tiny": ""}), KEY)
    with pytest.raises(IntegrityError, match="its model tiny is revoked"):
        opener(model)
    (folder / "revoked.json").write_text("{}")
    with pytest.raises(IntegrityError, match="is no list made by"):
        opener(model)
    opener.close()


def test_older_list_of_revocations_does_not_give_back_what_a_later_one_took(config, tiny_bundle):
    folder = tiny_bundle.parent
    daemon = load_daemon_config(config(TRUST_TABLE + 'revoked = "revoked.json"\n'))
    path, memory = folder / "revoked.json", folder / "state" / SEEN
    first = write_revocations(path, RevocationList(models={"other": ""}), KEY)
    old = path.read_bytes()
    trust_of(daemon)
    assert not memory.exists()  # a command that only looks leaves no trace
    trust_of(daemon, keep=True)
    write_revocations(path, first.model_copy(update={"models": {"tiny": ""}}), KEY)
    with ModelOpener(lambda: trust_of(daemon, keep=True)) as opener:
        with pytest.raises(IntegrityError, match="its model tiny is revoked"):
            opener(daemon.model)
        path.write_bytes(old)
        for _ in range(2):
            with pytest.raises(IntegrityError, match="is issue 1, and this device has seen issue"):
                opener(daemon.model)
    memory.write_text('{"issue": -1}')
    with pytest.raises(IntegrityError, match=rf"{SEEN}: is damaged, so that nobody can say"):
        trust_of(daemon)


def test_disk_that_does_not_take_what_was_seen_of_revocations_is_told_and_stops_nothing(
    config, tiny_bundle, caplog
):
    daemon = load_daemon_config(config(TRUST_TABLE + 'revoked = "revoked.json"\n'))
    write_revocations(tiny_bundle.parent / "revoked.json", RevocationList(models={"a": ""}), KEY)
    (tiny_bundle.parent / "state").write_text("a file in the way")
    assert trust_of(daemon, keep=True).revoked.models == {"a"}
    assert "issue 1 of what is revoked is not remembered" in caplog.text


def test_memory_that_cannot_be_looked_at_is_one_line_and_no_zero(tmp_path):
    with pytest.raises(IntegrityError, match=r"cannot be read \(File name too long\)"):
        kept_counter(tmp_path / ("n" * 300))


def test_counter_is_never_lowered_and_a_doubtful_one_is_no_zero(tmp_path, caplog):
    state = tmp_path / "state"
    assert kept_counter(None) == kept_counter(state) == 0
    keep_counter(state, 0)
    keep_counter(None, 5)
    assert not state.exists()
    for counter in (3, 5, 4):
        keep_counter(state, counter)
    assert kept_counter(state) == 5
    for content in (b"", b"{}", b'{"rollback_counter": -1}', b'{"rollback_counter": 1, "x": 2}'):
        (state / COUNTER).write_bytes(content)
        with pytest.raises(IntegrityError, match="is damaged, so that nobody can say"):
            kept_counter(state)
    (state / COUNTER).unlink()
    (state / COUNTER).symlink_to(tmp_path / "nowhere")
    with pytest.raises(IntegrityError, match="is a link"):
        kept_counter(state)


def test_disk_that_does_not_take_the_counter_is_told_and_stops_nothing(tmp_path, caplog):
    (tmp_path / "state").write_text("a file in the way")
    keep_counter(tmp_path / "state", 3)
    assert "the rollback counter 3 is not kept" in caplog.text


def test_trust_is_read_from_the_configurations_folder(config, tiny_bundle):
    trust = trust_of(load_daemon_config(config()))
    assert trust.keys == TRUST.keys
    keep_counter(tiny_bundle.parent / "state", 7)
    assert trust_of(load_daemon_config(config())).least_counter == 7
    (tiny_bundle.parent / "tests.pub").write_text("no key")
    with pytest.raises(ConfigError, match=r"tests.pub: is no public key"):
        trust_of(load_daemon_config(config()))
