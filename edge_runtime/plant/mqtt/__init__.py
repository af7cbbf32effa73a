"""What all MQTT interfaces share: one connection, in a thread of its own."""
