"""The Sparkplug B 3.0 edge node: every tag of every camera as metrics, over MQTT."""
