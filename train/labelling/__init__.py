"""Labels from a still camera: gas by what changes, machines by what stays."""
