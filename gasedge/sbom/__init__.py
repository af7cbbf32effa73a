"""The list of what is installed on a device, as CycloneDX."""
