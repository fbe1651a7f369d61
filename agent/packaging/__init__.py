"""The packages of the agent for Debian and the rpm family."""
