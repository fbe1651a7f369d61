"""The places that hold copies of the library: one port, a directory, an object store, another controller."""
