"""CUDA through its driver: kernels, one context, buffers, a captured graph."""
