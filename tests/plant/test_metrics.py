"""/metrics as Prometheus reads it; the dashboard asks for what is there and nothing else."""

from __future__ import annotations

import http.client
import json
import re

import pytest

from contract.tags import HealthCode, Quality
from edge_runtime.outbox import Figures
from edge_runtime.plant.metrics import metrics_text
from tests.edge_runtime.evidence.leaks_seen import leak
from tests.project.source_tree import ROOT

parser = pytest.importorskip("prometheus_client.parser")

DASHBOARD = ROOT / "docs" / "examples" / "grafana-dashboard.json"
FUNCTIONS = {"rate", "sum", "max", "min", "by", "clamp_max", "increase", "time", "bool", "changes"}


def families(text):
    return {each.name: each for each in parser.text_string_to_metric_families(text)}


def value(text, name, **labels):
    for family in families(text).values():
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    return None


@pytest.fixture
def everything(plant):
    derived = {"Frame__AgeMs": 40, "Health__Heartbeat": 7, "Health__DataGood": True}
    return metrics_text(
        [plant.snapshot("north", **derived), plant.snapshot('so"uth\\', **derived)],
        [leak(), leak("e2", "south", active=False)],
        version="0.1.0",
        serial="A17",
        outbox=Figures(7, 12.5, 3, 4096),
        evidence=(5, 10**12),
        device={"Device/TempC": 71.5, "Device/Throttled": True, "Device/PowerW": None},
        memory={"frames": 300 << 20, "plant": 80 << 20},
    )


def test_every_figure_is_read_back_by_prometheus_own_parser(everything):
    assert value(everything, "gasedge_info", serial="A17", version="0.1.0") == 1
    north = {"camera": "north"}
    assert value(everything, "gasedge_camera_frames_per_second", **north) == 12.5
    assert value(everything, "gasedge_camera_latency_p99_seconds", **north) == pytest.approx(0.041)
    assert value(everything, "gasedge_camera_frames_dropped_total", **north) == 2**33 + 1
    assert value(everything, "gasedge_camera_leak_state", **north) == 2
    assert value(everything, "gasedge_camera_quality", camera='so"uth\\') == 0
    assert value(everything, "gasedge_alarm_state", alarm="north.leak", kind="leak") == 1
    assert value(everything, "gasedge_alarm_active", alarm="south.leak") == 0
    assert value(everything, "gasedge_device_temperature_celsius") == 71.5
    assert value(everything, "gasedge_device_throttled") == 1
    assert value(everything, "gasedge_device_power_watts") is None  # nothing measures it
    assert value(everything, "gasedge_process_resident_bytes", process="frames") == 300 << 20
    assert value(everything, "gasedge_outbox_records") == 7
    assert value(everything, "gasedge_outbox_oldest_age_seconds") == 12.5
    assert value(everything, "gasedge_outbox_dropped_total") == 3
    assert value(everything, "gasedge_evidence_events") == 5
    assert value(everything, "gasedge_evidence_free_bytes") == 10**12


def test_each_family_is_told_once_and_counters_are_called_so(everything):
    lines = re.findall(r"^# TYPE (\S+) (\S+)$", everything, re.MULTILINE)
    assert len({name for name, _ in lines}) == len(lines)
    for name, kind in lines:
        assert name.endswith("_total") == (kind == "counter"), name
    assert everything.endswith("\n")


def test_what_is_unknown_has_no_sample_but_quality_and_state_always_have(plant):
    blind = plant.snapshot(
        quality=Quality.BAD, Health__Code=int(HealthCode.NO_CAMERA), Frame__Fps=0.0
    )
    blind.values["Frame/LatencyP99Ms"] = None
    text = metrics_text([blind], [], version="v", serial="s")
    assert value(text, "gasedge_camera_quality", camera="north") == 3
    assert value(text, "gasedge_camera_leak_state", camera="north") == 255
    assert value(text, "gasedge_camera_reason", camera="north", reason="no_camera") == 1
    assert value(text, "gasedge_camera_reason", camera="north", reason="dark") == 0
    for unknown in ("leak_area_ratio", "leak_score", "latency_p99_seconds"):
        assert value(text, f"gasedge_camera_{unknown}", camera="north") is None


def test_a_running_gateway_serves_them(plant, tmp_path):
    with plant.run(tmp_path / "g", serve=("page",)) as gateway, plant.speak(gateway):

        def scraped(path="/metrics"):
            port = gateway.ports["page"]
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", path)
            reply = connection.getresponse()
            body = reply.read().decode()
            connection.close()
            return reply.status, reply.headers["Content-Type"], body

        plant.until(lambda: value(scraped()[2], "gasedge_camera_quality", camera="north") == 0)
        status, kind, text = scraped()
        assert status == 200
        assert kind.startswith("text/plain; version=0.0.4")
        assert value(text, "gasedge_camera_quality", camera="south") == 3
        plant.until(lambda: value(scraped()[2], "gasedge_alarm_state", alarm="north.leak") == 1)
        status, _, text = scraped("/readyz")
        assert status == 503
        assert text.startswith("south: BAD")
        assert "north" not in text


def names_in(expression):
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b(?:by|on)\s*\([^)]*\)', "", expression)
    return set(re.findall(r"[a-z_][a-z0-9_]*", bare)) - FUNCTIONS


def test_the_alert_rules_of_the_docs_ask_for_what_is_there_and_hold_while_blind(everything):
    known = {sample.name for family in families(everything).values() for sample in family.samples}
    text = (ROOT / "docs" / "page.md").read_text(encoding="utf-8")
    (rules,) = re.findall(r"```yaml\n(groups:.*?)```", text, re.DOTALL)
    expressions = re.findall(r"alert: (\w+), expr: '?([^',]+(?:\{[^}]*\}[^',]*)*)", rules)
    assert [name for name, _ in expressions] == ["Leak", "Blind", "DeviceSilent"]
    for _, expression in expressions:
        assert names_in(expression) - {"up", "or", "absent"} <= known, expression
    # the state is unknown when a camera goes blind in the midst of a leak: its alarm is not
    assert names_in(expressions[0][1]) == {"gasedge_alarm_active"}


def test_every_expression_of_the_dashboard_asks_for_what_is_there(everything):
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    known = {sample.name for family in families(everything).values() for sample in family.samples}
    expressions = [
        target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])
    ]
    assert len(expressions) >= 10
    asked = set()
    for expression in [*expressions, dashboard["templating"]["list"][1]["query"]]:
        names = names_in(expression) - {"label_values", "camera"}
        assert names <= known, expression
        asked |= names
    # what an operator must see is on it
    assert {
        "gasedge_camera_leak_state",
        "gasedge_camera_quality",
        "gasedge_alarm_active",
        "gasedge_outbox_records",
    } <= asked


def test_the_dashboards_panels_do_not_lie_over_each_other():
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)
