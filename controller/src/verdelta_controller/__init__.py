"""The controller: plans and runs roll-outs, and proves from audits what each of them changed."""

__version__ = "0.1.0"
