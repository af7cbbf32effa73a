"""Every way that the device runs the network: one `contract.segmenter.Segmenter` each."""
