"""The agent: inventories one host, signs what it saw, reports it.  Standard library only, Python 3.6 and newer."""

__version__ = "0.1.0"
